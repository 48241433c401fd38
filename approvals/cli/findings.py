"""What `assent log` says of a check of the whole log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.cli.output import out, plain, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.log import Report


def listed(report: Report) -> list[dict[str, str]]:
    """The findings as JSON."""
    return [
        {"code": found.code, "place": found.place, "message": found.message}
        for found in report.findings
    ]


def draw_findings(report: Report) -> None:
    """Print what was found, and how much follows from it."""
    drawn = table("where", "what", "code")
    for found in report.findings:
        drawn.add_row(plain(found.place, "bold"), plain(found.message), plain(found.code))
    out.print(drawn)
    count = len(report.findings) + report.unlisted
    out.print(plain(f"Not as it was signed: {count} findings.", "bold red"))
    if report.following:
        first = report.consequences[0].place
        out.print(
            plain(
                f"For that reason {report.following} of the checkpoints and tile nodes do not hold "
                f"either, the first of them {first}.",
                "dim",
            )
        )


def draw_report(report: Report, kept: Sequence[str]) -> None:
    """Print what was found, or that all is well."""
    if report.findings:
        draw_findings(report)
        return
    earlier = f" and {len(kept)} kept earlier" if kept else ""
    out.print(
        plain(
            f"The log is whole: {report.size} leaves under {report.checkpoints} signed "
            f"checkpoints{earlier}; each leaf is in its place, each checkpoint holds, "
            "and the database holds what they tell.",
            "bold green",
        )
    )
    if report.staged:
        out.print(plain(f"{report.staged} events wait for their place.", "dim"))
