"""The contrast of every pair of colours that carries meaning, computed from the style sheet."""

import re
from pathlib import Path

import pytest

SHEET = (Path(__file__).parents[2] / "web/static/assent.css").read_text()
LIGHT, DARK = re.findall(r":root \{(.*?)\n *\}", SHEET, re.DOTALL)[:2]

TEXT = 4.5  # WCAG 2.2, 1.4.3
SHAPE = 3.0  # WCAG 2.2, 1.4.11

PAIRS = [
    *[
        (ink, ground, TEXT)
        for ink in ("ink", "quiet", "accent", "good", "bad", "warn")
        for ground in ("ground", "surface", "sunken")
    ],
    ("ink", "warn-ground", TEXT),
    ("warn", "warn-ground", TEXT),
    ("mark-ink", "mark-ground", TEXT),
    ("on-accent", "accent", TEXT),
    ("edge", "surface", SHAPE),
    ("edge", "ground", SHAPE),
    ("good", "surface", SHAPE),
    ("accent", "warn-ground", SHAPE),
]


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[at : at + 2]) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_formula_gives_the_values_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_a_pair_can_be_told_apart(scheme: str, ink: str, ground: str, least: float) -> None:
    known = colours(LIGHT) if scheme == "light" else colours(LIGHT) | colours(DARK)
    assert contrast(known[ink], known[ground]) >= least


def test_both_schemes_name_the_same_colours() -> None:
    assert colours(LIGHT).keys() == colours(DARK).keys()


def test_no_rule_brings_a_colour_of_its_own() -> None:
    rules = SHEET.split("@media (prefers-color-scheme: dark)")[1].split("*,", 1)[1]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b", rules) == []
