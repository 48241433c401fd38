"""The figures of how people decide: in words for the tables, in places for the plot."""

import math
from dataclasses import dataclass

from approvals.flow.auditing.figures import QUICK_SECONDS, Figure, Figures, Signed
from approvals.web.times import lasted

# The plot is drawn in these units, which are CSS pixels on a small phone.
WIDTH, HEIGHT = 340, 236
LEFT, RIGHT, TOP, BOTTOM = 46, 326, 14, 196
NEAR = 14
"""Dots that are nearer than this share one label."""
LABELLED = 4
_TIMES = (
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3_600, "1 h"),
    (21_600, "6 h"),
    (86_400, "1 day"),
    (604_800, "1 week"),
)
LEAST_SPAN = 3_600


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; `number` is the one at its dot."""

    number: int
    name: str
    decided: str
    approved: str
    median: str
    quick: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of the grid, or a text in the plot, at a place."""

    x: float
    y: float
    text: str
    side: str = "middle"


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything that the plot's template draws, placed."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    quick: float
    times: tuple[Mark, ...]
    rates: tuple[Mark, ...]
    dots: tuple[tuple[float, float], ...]
    labels: tuple[Mark, ...]
    longest: str


@dataclass(frozen=True, slots=True)
class FiguresPage:
    """All that the page lays out."""

    now: int
    since: int
    quick: str
    approvers: tuple[Row, ...]
    rules: tuple[Row, ...]
    passkeys: tuple[Signed, ...]
    plot: Plot | None
    cut: str


def figures_page(found: Figures) -> FiguresPage:
    """The figures as their page says them."""
    decided = sum(figure.decided for figure in found.approvers)
    return FiguresPage(
        now=found.now,
        since=found.since,
        quick=lasted(QUICK_SECONDS),
        approvers=_rows(found.approvers),
        rules=_rows(found.rules),
        passkeys=found.passkeys,
        plot=_plot(found.approvers) if found.approvers else None,
        cut=f"Of the latest {decided:,} decisions; older ones are left out." if found.cut else "",
    )


def _rows(figures: tuple[Figure, ...]) -> tuple[Row, ...]:
    return tuple(
        Row(
            number=number,
            name=figure.name,
            decided=f"{figure.decided:,}",
            approved=_percent(figure.approve_rate),
            median=lasted(round(figure.median)),
            quick=_percent(figure.quick_rate),
        )
        for number, figure in enumerate(figures, start=1)
    )


def _percent(part: float) -> str:
    return f"{part:.0%}".replace("%", "\N{NARROW NO-BREAK SPACE}%")


def _plot(figures: tuple[Figure, ...]) -> Plot:
    """Median time from left to right (logarithmic), approve rate from bottom to top."""
    slowest = max(LEAST_SPAN, *(figure.median for figure in figures))
    end = next((at for at, _ in _TIMES if at >= slowest), slowest)
    times = [(at, text) for at, text in _TIMES if at <= end]

    def across(seconds: float) -> float:
        part = math.log(max(seconds, 1.0)) / math.log(end)
        return round(LEFT + part * (RIGHT - LEFT), 1)

    def up(rate: float) -> float:
        return round(BOTTOM - rate * (BOTTOM - TOP), 1)

    dots = tuple((across(figure.median), up(figure.approve_rate)) for figure in figures)
    return Plot(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        quick=across(QUICK_SECONDS),
        times=tuple(Mark(across(at), BOTTOM + 16, text) for at, text in times),
        rates=tuple(
            Mark(LEFT - 6, up(rate), _percent(rate), "end") for rate in (0.0, 0.25, 0.5, 0.75, 1.0)
        ),
        dots=dots,
        labels=_labels(dots),
        longest=times[-1][1],
    )


def _labels(dots: tuple[tuple[float, float], ...]) -> tuple[Mark, ...]:
    """The dots' numbers; those that would cover one another stand at one place, in order."""
    groups: list[tuple[float, float, list[int]]] = []
    for number, (x, y) in enumerate(dots, start=1):
        for near_x, near_y, numbers in groups:
            if math.dist((x, y), (near_x, near_y)) < NEAR:
                numbers.append(number)
                break
        else:
            groups.append((x, y, [number]))
    middle = (LEFT + RIGHT) / 2
    return tuple(
        Mark(
            x + (9 if x <= middle else -9),
            y + 4,
            ", ".join(map(str, numbers[:LABELLED])) + (" …" if len(numbers) > LABELLED else ""),
            "start" if x <= middle else "end",
        )
        for x, y, numbers in groups
    )
