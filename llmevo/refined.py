"""What a refinement gives: the best answer, how it came about, and what else is worth keeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from llmevo.breeding import distinct, ranked
from llmevo.breeding.pareto import frontier
from llmevo.config.checks import answer_of, valid
from llmevo.core import Birth, Context, Evaluate, Fitness, Individual, Pause, Seed, Usage, View
from llmevo.engine import Outcome, Told
from llmevo.engine.progress import Progress
from llmevo.fitness.check import Checked
from llmevo.text import TextGenome

Answer = Individual[TextGenome]


@dataclass(frozen=True, slots=True)
class Refined:
    """The best answer found: never worse than the best sample by the check's own score, unless a strict check refuses that one."""

    answer: str | None
    """None when no answer could be checked; `reason` says why."""
    score: float | None
    valid: bool
    """Whether the check called it valid."""
    feedback: tuple[str, ...]
    reason: str
    """Why the search ended."""
    evaluations: int
    spent: Usage
    lineage: tuple[Answer, ...]
    """The answer's ancestors along first parents, the oldest first, itself last; itself alone if it is of a step that was broken off."""
    pause: Pause | None
    """Set when the budget, the deadline or the model cut the search short; a run folder can go on."""
    verified: bool | None = None
    """Whether the strict check agrees that it is valid; None without one."""
    front: tuple[Answer, ...] = ()
    """With several objectives: the answers of the whole search that nobody dominates, valid ones if there are any."""
    population: tuple[Answer, ...] = ()
    """Who lived on at the end: of a grid the best of every cell."""
    decided: bool = True
    """Whether an answer could have been valid: not so where a check only scores, or a judge has no `good`."""


class Sitting:
    """How far a refinement has come, also when it is broken off. `enough` says which birth ended it."""

    def __init__(
        self,
        enough: Callable[[Birth[TextGenome]], bool],
        on_cohort: Callable[[Told[TextGenome]], None] | None,
        note_time: Callable[[], object],
    ) -> None:
        self.outcome: Outcome[TextGenome] = Outcome("", Progress(), View(), "")
        self._enough, self._on_cohort, self._note_time = enough, on_cohort, note_time
        self.decides: Callable[[], bool | None] = lambda: None
        """Whether a verdict of this sitting could have been valid; None before the first."""
        self._known: dict[str, Answer] = {}
        self._seen: dict[str, Answer] = {}
        """Checked answers by genome, those of a step that was broken off included."""

    def watching(self, evaluate: Evaluate[TextGenome]) -> Watched:
        """The evaluation, of which nothing is lost when a step is broken off."""
        return Watched(evaluate, self._seen)

    def told(self, now: Told[TextGenome]) -> None:
        """One more cohort."""
        self.outcome = replace(self.outcome, progress=now.progress, view=now.view)
        self._known.update({one.id: one for one in now.births if isinstance(one, Individual)})
        if not now.replayed:
            self._note_time()
        if self._on_cohort is not None:
            self._on_cohort(now)

    def paused(self, pause: Pause) -> None:
        """It cannot go on."""
        self.outcome = replace(self.outcome, reason=str(pause), pause=pause)

    async def refined(self, spent: Usage, strict: Checked[TextGenome] | None, until: float | None = None) -> Refined:
        """The best so far and its line. With a strict check: of all answers, best first, the one that it calls valid, if there is one.

        `until` is the time of the event loop at which the strict check is no longer waited for.
        """
        outcome, told = self.outcome, {one.genome.key for one in self._known.values()}
        unfinished = [one for key, one in self._seen.items() if key not in told and one.fitness.ok] if outcome.pause else []
        hall = ranked(distinct([*outcome.view.hall, *unfinished]))
        best = hall[0] if hall else None
        if best is None:
            why = outcome.progress.last_error
            reason = f"{outcome.reason}; no answer could be checked" + (f", last error: {why}" if why else "")
            return Refined(None, None, False, (), reason, outcome.progress.evaluations, spent, (), outcome.pause)
        decided = self.decides()
        if decided is None:  # read from the record: a bare score has a violation of 1, and False a score of 0, too
            decided = any(one.fitness.violation != 1 or one.fitness.value == 0 for one in hall)
        verified: bool | None = None
        notes = best.fitness.feedback
        if strict is not None:
            # What abuses a tolerance comes in crowds that are better than any honest answer: the few best would all be of that kind.
            answers: dict[str, Answer] = {}
            for one in ranked([*hall, *(one for one in self._known.values() if one.fitness.ok)]):
                answers.setdefault(answer_of(one.genome), one)
            found, why = await _verified(answers, strict, until)
            best, verified = found or best, found is not None
            notes = best.fitness.feedback if verified else tuple(dict.fromkeys([*notes, why]))
        return Refined(
            answer_of(best.genome),
            best.fitness.value,
            valid(best),
            notes,
            "an answer is valid" if self._enough(best) else outcome.reason,
            outcome.progress.evaluations,
            spent,
            self._line(best),
            outcome.pause,
            verified,
            tuple(frontier([*self._known.values(), *unfinished])) if len(best.fitness.objectives) > 1 else (),
            outcome.view.population,
            decided,
        )

    def _line(self, one: Answer | None) -> tuple[Answer, ...]:
        line: list[Answer] = []
        while one is not None:
            line.append(one)
            one = self._known.get(one.parents[0]) if one.parents else None
        return tuple(reversed(line))


async def _verified(answers: Mapping[str, Answer], strict: Checked[TextGenome], until: float | None) -> tuple[Answer | None, str]:
    """The first answer that the strict check calls valid; else None, and why the first of all is not."""
    refusal = ""
    try:
        async with asyncio.timeout_at(until):
            for answer, one in answers.items():
                why = await strict.refused(answer, Context(Seed(0).fold(one.id)))
                if why is None:
                    return one, ""
                refusal = refusal or why
    except TimeoutError:
        refusal = refusal or "not verified: the strict check took too long"
    return None, refusal


@dataclass(frozen=True)
class Watched:
    """An evaluation that notes what it found."""

    evaluate: Evaluate[TextGenome]
    seen: dict[str, Answer]

    @property
    def whole_cohort(self) -> bool:
        """As the evaluation wants it."""
        return self.evaluate.whole_cohort

    async def __call__(self, genomes: Sequence[TextGenome], contexts: Sequence[Context]) -> list[Fitness]:
        scores = await self.evaluate(genomes, contexts)
        for genome, fitness in zip(genomes, scores, strict=True):
            self.seen[genome.key] = Individual(genome.key, genome, fitness)
        return scores


__all__ = ["Refined", "Sitting"]
