"""Anytime curves: how good the best is after so much was spent, mean and band over seeds, as SVG and as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

POINTS = 60
COLOURS = ("#1b6ca8", "#c44536", "#2a9d5c", "#8e5ba6", "#d98e04", "#5f6b73", "#00838f", "#ad1457")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 320, 58, 30, 190, 40

Track = Sequence[tuple[float, float]]
"""What was spent, and the best by then; both grow."""


@dataclass(frozen=True)
class Curve:
    """Mean and 95 % band over the seeds, at the places where all of them have a best."""

    places: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def curve(tracks: Sequence[Track], most: float) -> Curve:
    """The curve of several seeds. A run that ended early keeps its best."""
    import numpy as np

    begins = max(track[0][0] for track in tracks)
    places = [begins + (most - begins) * i / (POINTS - 1) for i in range(POINTS)] if most > begins else [begins]
    table = np.array([[max(value for spent, value in track if spent <= place + 1e-9) for place in places] for track in tracks])
    spread = 1.96 * table.std(axis=0, ddof=1) / len(tracks) ** 0.5 if len(tracks) > 1 else np.zeros(len(places))
    mean = table.mean(axis=0)
    return Curve(tuple(places), tuple(mean.tolist()), tuple((mean - spread).tolist()), tuple((mean + spread).tolist()))


def as_csv(curves: Mapping[str, Curve], unit: str) -> str:
    """A line per contender and place."""
    lines = [f"contender,{unit},mean,low,high"]
    for name, one in curves.items():
        quoted = '"' + name.replace('"', '""') + '"' if set(name) & set(',"\n') else name
        lines += [f"{quoted},{x:.6g},{y:.6f},{a:.6f},{b:.6f}" for x, y, a, b in zip(one.places, one.mean, one.low, one.high, strict=True)]
    return "\n".join(lines) + "\n"


def as_svg(curves: Mapping[str, Curve], unit: str, title: str) -> str:
    """The figure; text of the user's is escaped."""
    low = min(min(one.low) for one in curves.values())
    high = max(max(one.high) for one in curves.values())
    most = max(one.places[-1] for one in curves.values())

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / (most or 1)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / ((high - low) or 1)

    marks = [f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>']
    for value in (low, (low + high) / 2, high):
        marks.append(f'<line x1="{LEFT}" x2="{x(most):.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        marks.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3f}</text>')
    for value in (0, most / 2, most):
        marks.append(f'<text x="{x(value):.1f}" y="{HEIGHT - 22}" text-anchor="middle">{value:g}</text>')
    marks.append(f'<text x="{x(most / 2):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(unit)}</text>')
    for i, (name, one) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        there = [f"{x(place):.1f},{y(value):.1f}" for place, value in zip(one.places, one.high, strict=True)]
        back = [f"{x(place):.1f},{y(value):.1f}" for place, value in zip(one.places, one.low, strict=True)][::-1]
        line = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in zip(one.places, one.mean, strict=True))
        marks.append(f'<polygon points="{" ".join(there + back)}" fill="{colour}" fill-opacity="0.15"/>')
        marks.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        marks.append(f'<text x="{x(most) + 12:.0f}" y="{TOP + 14 + 17 * i}" fill="{colour}">{escape(name)}</text>')
    style = 'font-family="sans-serif" font-size="11" fill="#333"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>{"".join(marks)}</svg>\n'


__all__ = ["Curve", "as_csv", "as_svg", "curve"]
