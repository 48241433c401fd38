"""What a measurement comes to: one number against one aim, and what it was made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """`value` in `unit`; it meets its aim when it is at least, or at most, the aim."""

    name: str
    value: float
    unit: str
    aim: float
    at_least: bool
    detail: str

    @property
    def meets(self) -> bool:
        """Whether the aim is met."""
        return self.value >= self.aim if self.at_least else self.value <= self.aim

    def document(self) -> dict[str, object]:
        """Return the result as it is written to a file."""
        return {**asdict(self), "meets": self.meets}


def ratio(name: str, value: float, *, aim: float, at_least: bool, detail: str) -> Result:
    """A result that compares two measurements of one run."""
    return Result(name, value, "ratio", aim, at_least, detail)
