"""What the commands print: live progress, tables, and the JSON records of the same. Text of models is made inert first."""

from __future__ import annotations

from llmevo.console.comparisons import show_comparison
from llmevo.console.inert import Screen, as_json, inert, silence
from llmevo.console.live import COLUMNS, Live
from llmevo.console.records import best_record, operator_record, refined_record, result_record, summary_record
from llmevo.console.scores import score_lines, scores_record
from llmevo.console.tables import show_front, show_operators, show_plan, show_recipes, show_refined, show_result, show_summary
from llmevo.console.words import texts

__all__ = [
    "COLUMNS",
    "Live",
    "Screen",
    "as_json",
    "best_record",
    "inert",
    "operator_record",
    "refined_record",
    "result_record",
    "score_lines",
    "scores_record",
    "show_comparison",
    "show_front",
    "show_operators",
    "show_plan",
    "show_recipes",
    "show_refined",
    "show_result",
    "show_summary",
    "silence",
    "summary_record",
    "texts",
]
