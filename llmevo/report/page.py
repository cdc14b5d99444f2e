"""A run as one HTML page that needs nothing else: what won, what it scored where, how the search went, who was dropped, what it cost."""

from __future__ import annotations

import html
from collections.abc import Iterable

from llmevo.core.inert import inert
from llmevo.report.figure import figure
from llmevo.report.held_out import searched
from llmevo.report.summary import Summary

STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 52em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { border-bottom: 1px solid #ddd; padding: .2em .8em .2em 0; text-align: left }
pre { background: #f5f5f2; padding: 1em; white-space: pre-wrap } th { font-weight: 600 }
"""
POLICY = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""


def page(summary: Summary) -> str:
    """The page. Whatever a model or a user wrote is inert; there is no script, and a browser runs and loads none."""
    title = f"{summary.frozen.get('recipe', 'run')}, seed {summary.frozen.get('seed', '?')}"
    parts = [f"<h1>{_inert(title)}</h1>", f"<p>{_inert(str(summary.folder))}</p>"]
    best = summary.best
    if best is None:
        parts.append("<p>Nobody lived in this run yet.</p>")
    else:
        parts += ["<h2>The winner</h2>", f"<pre>{_inert(_text(best.genome))}</pre>"]
        parts.append(_table(("cases", "score [95 %]", ""), _scores(summary)))
    parts += ["<h2>The search</h2>", figure(summary)]
    lost = sum(count for count, _ in summary.stillborn.values())
    paid = summary.spent
    cost = f"{paid.calls:,} calls, {paid.tokens_in:,} tokens in, {paid.tokens_out:,} out, {paid.price:.4f} US $"
    parts.append(f"<p>{summary.births} births, {lost} stillborn, {summary.evaluations} evaluations; {cost}</p>")
    makers = sorted(summary.makers.items(), key=lambda one: -one[1][1])
    parts.append(_table(("made by", "living", "best"), ((name, str(count), f"{value:.3f}") for name, (count, value) in makers)))
    if summary.dropped:
        rows = ((str(one.step), str(one.lap), one.why, summary.previews.get(one.id, one.id)) for one in summary.dropped)
        parts += ["<h2>Dropped in the race</h2>", _table(("step", "after lap", "why", "who"), rows)]
    settings = ((name, str(value)) for name, value in summary.frozen.items() if not name.startswith("(") and value is not None)
    parts += ["<h2>Settings</h2>", _table(("setting", "value"), settings)]
    head = f'<!doctype html>\n<meta charset="utf-8">{POLICY}<title>{_inert(title)}</title><style>{STYLE}</style>'
    return "\n".join([head, *parts]) + "\n"


def _scores(summary: Summary) -> Iterable[tuple[str, str, str]]:
    assert summary.best is not None
    found = searched(summary.best.fitness)
    yield "dev", str(found or f"{summary.best.fitness.value:.3f}"), "the search chose by these: too good"
    if summary.crowning is not None:
        yield "fresh", str(summary.crowning.fresh), f"never seen by the search; crowned among {len(summary.crowning.finalists)}"
    if summary.held_out is not None:
        more = f"; {summary.tests} winners were scored, so the last score is too good" if summary.tests > 1 else ""
        yield "test", str(summary.held_out), f"never seen by the search{more}"


def _inert(text: str) -> str:
    return html.escape(inert(text))


def _text(genome: object) -> str:
    parts = getattr(genome, "parts", None)
    if parts:
        return "\n".join(parts.values()) if len(parts) == 1 else "\n".join(f"{name}: {text}" for name, text in parts.items())
    return str(genome.preview())  # type: ignore[attr-defined]


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{_inert(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{_inert(name)}</th>' for name in head)}</tr>{cells}</table>" if cells else ""


__all__ = ["page"]
