"""Prints figures beside the floors that they should hold, as report.cpp does for scripts/bench."""

import json
import platform
from dataclasses import dataclass, field
from os import cpu_count, getloadavg
from typing import Optional


@dataclass(frozen=True)
class Floor:
    symbol: str  # <= or =
    bound: float

    def holds(self, measured: float) -> bool:
        return measured <= self.bound if self.symbol == "<=" else measured == self.bound


def at_most(bound: float) -> Floor:
    return Floor("<=", bound)


def exactly(bound: float) -> Floor:
    return Floor("=", bound)


@dataclass
class Figure:
    what: str
    value: float
    unit: str = ""
    against: str = ""  # what `other` is
    other: Optional[float] = None  # in the same unit
    ratio: Optional[float] = None  # of the two
    floor: Optional[Floor] = None  # of the ratio, without one of the value
    disk_latency: Optional[float] = None  # ms of a 4 KiB append with fdatasync, then

    @property
    def holds(self) -> Optional[bool]:
        measured = self.value if self.ratio is None else self.ratio
        return self.floor and self.floor.holds(measured)

    def row(self) -> list[str]:
        verdict = {None: "", True: "ok", False: "BELOW"}[self.holds]
        return [
            self.what,
            f"{_text(self.value)} {self.unit}",
            self.against,
            "" if self.other is None else f"{_text(self.other)} {self.unit}",
            "" if self.ratio is None else f"{self.ratio:.2f} x",
            f"{self.floor.symbol} {_text(self.floor.bound)}" if self.floor else "",
            verdict,
            "" if self.disk_latency is None else f"{self.disk_latency:.2f} ms",
        ]

    def document(self) -> dict:
        floor = self.floor
        return {
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "against": self.against or None,
            "other": self.other,
            "ratio": self.ratio,
            "floor": {"is": floor.symbol, "bound": floor.bound} if floor else None,
            "holds": self.holds,
            "fdatasyncMs": self.disk_latency,
        }


HEAD = ["", "podlease", "against", "", "ratio", "floor", "", "fdatasync"]
WORDS = (0, 2, 6)  # columns of them, the others are numbers


@dataclass
class Section:
    title: str
    figures: list[Figure] = field(default_factory=list)


@dataclass
class Report:
    circumstances: dict[str, str]
    sections: list[Section] = field(default_factory=list)

    def table(self) -> str:
        rows = [figure.row() for section in self.sections for figure in section.figures]
        widths = [max(map(len, column)) for column in zip(HEAD, *rows)]

        def line(row: list[str]) -> str:
            cells = zip(row, widths, range(len(row)))
            texts = (text.ljust(w) if at in WORDS else text.rjust(w) for text, w, at in cells)
            return "  " + "  ".join(texts).rstrip()

        lines = [f"{name}: {value}" for name, value in self.circumstances.items()]
        for section in self.sections:
            lines += ["", section.title, line(HEAD)]
            lines += [line(figure.row()) for figure in section.figures]
        return "\n".join(lines)

    def json(self) -> str:
        sections = [
            {"title": each.title, "figures": [figure.document() for figure in each.figures]}
            for each in self.sections
        ]
        return json.dumps({"circumstances": self.circumstances, "sections": sections}, indent=2)


def machine() -> str:
    load = getloadavg()[0]
    noise = " (busy: expect noise)" if load > 0.5 else ""
    return f"{cpu_count()} CPUs, Linux {platform.release()}, load {load:.2f}{noise}"


def _text(number: float) -> str:
    """Three or four digits that count, with commas between thousands."""
    if number >= 1000:
        return f"{number:,.0f}"
    if number == int(number):
        return str(int(number))
    digits = 3 if number < 10 else 2 if number < 100 else 1
    return f"{number:.{digits}f}"
