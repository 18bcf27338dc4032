"""What a benchmark says: rows with a goal, as Markdown, as JSON and as a plot."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from math import log10
from typing import Any, TypeVar

T = TypeVar("T")

WIDTH, LEFT, LINE, DECADES = 900, 470, 24, 3
"""Of the plot, in pixels: width, width of the names, height of a bar; and the powers of ten each way."""


@dataclass(frozen=True)
class Row:
    """One figure.

    Args:
        part: the table it stands in.
        title: what was measured.
        unit: of ``ours`` and ``other``.
        ours: Reliquary's.
        other: that of ``beside``; None when there is none.
        measure: what the goal is about: a ratio, or ``ours`` itself.
        goal: as people read it; empty when there is none.
        score: how many times better than the goal; None when there is none.
        spread: the least and the most that ``measure`` was in any round; None when rounds were not told apart.
    """

    part: str
    title: str
    unit: str
    ours: float
    other: float | None = None
    beside: str = ""
    measure: float | None = None
    goal: str = ""
    score: float | None = None
    spread: tuple[float, float] | None = None

    @property
    def met(self) -> str:
        """Whether the goal is met."""
        return "" if self.score is None else "yes" if self.score >= 1 else "no"


def turns(rounds: int, sides: Sequence[T]) -> Iterator[T]:
    """Each side once a round, in every other round the last one first: what one leaves warm helps each as often."""
    for at in range(rounds):
        yield from sides if at % 2 == 0 else reversed(sides)


def columns(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Take each measure once a round, in turn; what each gave, by round."""
    taken: list[list[float]] = [[] for _ in measures]
    for at in turns(rounds, range(len(measures))):
        taken[at].append(measures[at]())
    return taken


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[float]:
    """Take each measure once a round, in turn; their medians."""
    return [statistics.median(column) for column in columns(rounds, *measures)]


def spread(row: Row, ours: Sequence[float], other: Sequence[float]) -> Row:
    """The row with how far its ratio went in the rounds that it is the median of."""
    ratios = [mine / theirs for mine, theirs in zip(ours, other, strict=True)]
    return replace(row, spread=(min(ratios), max(ratios)))


def at_least(part: str, title: str, unit: str, ours: float, other: float | None, beside: str, bound: float) -> Row:
    """A figure that is to be at least ``bound`` times another."""
    if other is None:
        return Row(part, title, unit, ours)
    ratio = ours / other
    return Row(part, title, unit, ours, other, beside, ratio, f"at least {bound:g} x", ratio / bound)


def at_most(part: str, title: str, unit: str, ours: float, other: float, beside: str, bound: float) -> Row:
    """A figure that is to be at most ``bound`` times another."""
    ratio = ours / other
    return Row(part, title, unit, ours, other, beside, ratio, f"at most {bound:g} x", bound / ratio)


def below(part: str, title: str, unit: str, ours: float, bound: float) -> Row:
    """A figure that is to stay below ``bound`` itself."""
    return Row(part, title, unit, ours, None, "", None, f"below {bound:g} {unit}", bound / max(ours, 0.001))


def beside(part: str, title: str, unit: str, ours: float, other: float, name: str) -> Row:
    """Two figures without a goal."""
    return Row(part, title, unit, ours, other, name, ours / other)


def number(value: float | None) -> str:
    """With three digits that count, or all of a large one."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def compared(row: Row) -> str:
    """What the goal is about, with its spread where it is known."""
    if row.spread is None:
        return number(row.measure)
    return f"{number(row.measure)} ({number(row.spread[0])} to {number(row.spread[1])})"


def table(rows: Sequence[Row]) -> str:
    """Markdown: a table for each part."""
    lines: list[str] = []
    for part in dict.fromkeys(row.part for row in rows):
        lines += ["", f"### {part}", "", "| Case | Unit | Reliquary | Other | Ratio | Goal | Met |"]
        lines += ["|---|---|--:|--:|--:|---|---|"]
        for row in rows:
            if row.part == part:
                other = f"{number(row.other)} ({row.beside})" if row.other is not None else ""
                cells = (row.title, row.unit, number(row.ours), other, compared(row), row.goal, row.met)
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines[1:])


def document(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For programs."""
    return [asdict(row) for row in rows]


def plot(rows: Sequence[Row]) -> str:
    """SVG: how far each figure lies beyond its goal (to the right) or short of it, in powers of ten."""
    shown = [row for row in rows if row.score is not None]
    unit, middle = (WIDTH - LEFT) / (2 * DECADES), LEFT + (WIDTH - LEFT) / 2
    height = LINE * (len(shown) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{middle}" y="16" text-anchor="middle">times the goal</text>',
    ]
    for power in range(-DECADES + 1, DECADES):
        x = middle + power * unit
        parts.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{LINE}" y2="{height - LINE}" stroke="#bbb"/>')
        parts.append(f'<text x="{x:.0f}" y="{height - 6}" text-anchor="middle">{10.0**power:g}</text>')
    for at, row in enumerate(shown):
        parts += bar(row, LINE * (at + 1), middle, unit)
    return "\n".join([*parts, "</svg>", ""])


def bar(row: Row, top: int, middle: float, unit: float) -> list[str]:
    """One figure of the plot."""
    score = row.score or 0.001
    end = middle + max(-DECADES, min(DECADES, log10(score))) * unit
    name = f"{row.title} / {row.beside}" if row.beside else row.title
    color = "#2a7" if score >= 1 else "#c43"
    return [
        f'<text x="{LEFT - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{min(end, middle):.1f}" y="{top + 4}" width="{max(1, abs(end - middle)):.1f}" height="{LINE - 8}" '
        f'fill="{color}"><title>{escape(row.goal)}: {number(score)}</title></rect>',
    ]
