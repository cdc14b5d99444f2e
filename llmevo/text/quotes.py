"""What an operator's question quotes: cases, answers and notes, which are data and may hold anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmevo.core.seed import Seed
from llmevo.fitness.contract import Case
from llmevo.library.fence import Fence, drawn
from llmevo.library.render import neutral
from llmevo.text.views import ParentView

MARK = 8
"""Hex digits of a mark."""


class Quotes:
    """The failures and notes of the parents and the drawn cases of one question, each between two marks drawn from `seed` and from
    all of these texts, so that none of them can hold the marks. `seed` None: as they are.

    `shown` and `examples` are what the template is given; `tag` is its answer tag. The texts of the parents themselves are what is worked
    on, and no quotations.
    """

    def __init__(self, shown: Sequence[ParentView], examples: Mapping[str, Sequence[Case]], tag: str, seed: Seed | None) -> None:
        failures = [failure for one in shown for failure in one.failures]
        cases = [case for some in examples.values() for case in some]
        texts = [text for one in failures for text in (one.input, one.answer, one.target, one.why)]
        texts += [note for one in shown for note in one.feedback]
        texts += [text for case in cases for text in (case.input, case.targets[0])]
        self._fence = Fence(drawn(seed, texts, MARK)) if seed is not None and texts else None
        self._inputs = {(one.case, neutral(self._quoted(one.input), tag)) for one in failures}
        self._inputs |= {(case.id, neutral(self._quoted(case.input), tag)) for case in cases}
        self.shown = [self._view(one) for one in shown] if self._fence else list(shown)
        self.examples = {
            name: [{"input": self._quoted(case.input), "target": self._quoted(case.targets[0])} for case in some]
            for name, some in examples.items()
        }

    def within(self, question: str) -> list[str]:
        """The ids of the cases whose inputs the question holds, as words of their own."""
        return sorted({case for case, text in self._inputs if text and _holds(question, text)})

    def told(self, question: str) -> str:
        """The question, with a word on the fence if there is one in it."""
        return self._fence.told(question) if self._fence else question

    def _quoted(self, text: str) -> str:
        return self._fence.around(text) if self._fence else text

    def _view(self, one: ParentView) -> ParentView:
        failures = tuple(
            replace(
                failure,
                input=self._quoted(failure.input),
                answer=self._quoted(failure.answer),
                target=self._quoted(failure.target),
                why=self._quoted(failure.why),
            )
            for failure in one.failures
        )
        return replace(one, feedback=tuple(map(self._quoted, one.feedback)), failures=failures)


def _holds(question: str, text: str) -> bool:
    """Whether a text stands in a question and not within longer words. One between marks ends with them; one without may be a label."""
    at = question.find(text)
    while at >= 0:
        end = at + len(text)
        begins = at == 0 or not (_wordy(question[at - 1]) and _wordy(text[0]))
        if begins and (end == len(question) or not (_wordy(question[end]) and _wordy(text[-1]))):
            return True
        at = question.find(text, at + 1)
    return False


def _wordy(character: str) -> bool:
    return character.isalnum() or character == "_"
