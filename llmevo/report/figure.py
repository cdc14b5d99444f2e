"""The figure of a run: everybody's score in the order of birth, the best so far, and the winner's score on the test cases, as SVG."""

from __future__ import annotations

from html import escape

from llmevo.core.inert import inert
from llmevo.report.summary import Summary

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 270, 46, 46, 16, 34
DOT, HALF, BEST, TEST = "#9aa5b1", "#e3b7ae", "#1b6ca8", "#2a9d5c"


def figure(summary: Summary) -> str:
    """The figure. Whoever was dropped in a race stands where its score was then, in another colour; who was not scored is not shown."""
    held = summary.held_out
    values = [value for _, value, _ in summary.points] + ([held.low, held.high] if held else [])
    # A best score that was revised downwards later is no point any more, but the line went there.
    values += [step.best_so_far for step in summary.steps if step.best_so_far is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    most = max(summary.births, 1)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / most

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / ((high - low) or 1)

    right = WIDTH - RIGHT
    marks = [_words(LEFT, 16, f"{summary.frozen.get('recipe', 'run')}, seed {summary.frozen.get('seed', '?')}", 'font-weight="bold"')]
    for value in (low, (low + high) / 2, high):
        marks.append(f'<line x1="{LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        marks.append(_words(LEFT - 6, y(value) + 4, f"{value:.2f}", 'text-anchor="end"'))
    for count in sorted({1, (most + 1) // 2, most}):
        marks.append(_words(x(count), HEIGHT - 18, str(count), 'text-anchor="middle"'))
    marks.append(_words((LEFT + right) / 2, HEIGHT - 4, "births", 'text-anchor="middle"'))
    if held is not None:
        tall = max(1.0, y(held.low) - y(held.high))
        place, at = f'x="{LEFT}" y="{y(held.high):.1f}"', f"{y(held.mean):.1f}"
        marks.append(f'<rect {place} width="{right - LEFT}" height="{tall:.1f}" fill="{TEST}" fill-opacity="0.15"/>')
        marks.append(f'<line x1="{LEFT}" x2="{right}" y1="{at}" y2="{at}" stroke="{TEST}" stroke-dasharray="5 4"/>')
    for number, value, whole in summary.points:
        marks.append(f'<circle cx="{x(number):.1f}" cy="{y(value):.1f}" r="3" fill="{DOT if whole else HALF}"/>')
    path: list[str] = []
    before: float | None = None
    for step in summary.steps:
        if step.best_so_far is not None:
            path += [f"{x(step.born):.1f},{y(before):.1f}"] if before is not None else []
            path.append(f"{x(step.born):.1f},{y(step.best_so_far):.1f}")
            before = step.best_so_far
    marks.append(f'<polyline points="{" ".join(path)}" fill="none" stroke="{BEST}" stroke-width="2"/>')
    legend = [("a birth", DOT), ("best so far, dev cases", BEST)]
    legend += [("dropped in a race", HALF)] if summary.dropped else []
    legend += [("the winner on test cases, 95 %", TEST)] if held else []
    begin = LEFT
    for name, colour in legend:
        marks.append(_words(begin, 34, name, f'fill="{colour}"'))
        begin += 7 * len(name) + 8
    style = 'font-family="sans-serif" font-size="12" fill="#333"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>{"".join(marks)}</svg>\n'


def _words(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(inert(text))}</text>'


__all__ = ["figure"]
