"""Progress while a run goes on."""

from __future__ import annotations

import statistics
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from llmevo.console.inert import Screen
from llmevo.console.words import number, preview
from llmevo.core import Individual, living

if TYPE_CHECKING:
    from llmevo.engine import Told
    from llmevo.recipes import Plan

ROWS = 12
"""Steps that stay visible while a run goes on."""
COLUMNS = ("step", "best", "median", "evaluated", "calls", "tokens", "cost", "time", "left")


class Live:
    """Progress on stderr: a table that grows on a terminal, a line per step elsewhere, nothing if `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Screen(stderr=True)
        self._rows: list[tuple[str, ...]] = []
        self._began = time.monotonic()
        self._total: int | None = None
        self._fresh = 0
        """Births of this sitting, which tell how fast it goes."""
        self._live = RichLive(console=self._console, auto_refresh=False) if self._console.is_terminal and not quiet else None

    def __enter__(self) -> Live:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def planned(self, plan: Plan[Any]) -> None:
        """How many births there will be."""
        self._total = plan.matings

    def told(self, told: Told[Any]) -> None:
        """One more cohort."""
        if self._quiet:
            return
        now = told.progress
        new = [mating for mating in told.cohort.matings if not mating.variation.reassess]
        self._fresh += 0 if told.replayed else len(new)
        # Scores on the cases of a lap are not to be compared with those on all cases.
        races = told.standing and not told.standing.startswith("the last")
        scores = [] if races else [one.fitness.value for one in living(told.births)]
        row = (
            str(told.cohort.j + 1) + ("" if not told.replayed else " (record)"),
            number(now.best.fitness.value if now.best else None),
            number(statistics.median(scores) if scores else None),
            str(now.evaluations),
            f"{now.usage.calls:,}",
            f"{now.usage.tokens_in + now.usage.tokens_out:,}",
            f"${now.usage.price:.4f}" if now.usage.price else "-",
            f"{time.monotonic() - self._began:.0f} s",
            self._left(now.births - now.reassessed),
        )
        self._rows.append(row)
        if self._live:
            self._live.update(self._table(now.best, told.standing), refresh=True)
        else:
            line = "  ".join(f"{name} {value}" for name, value in zip(COLUMNS, row, strict=True))
            self._console.print(f"{line}  {told.standing}".rstrip(), highlight=False, soft_wrap=True)

    def _left(self, births: int) -> str:
        """How long the planned births will take at the pace of this sitting."""
        if self._total is None or not self._fresh:
            return "-"
        return f"{max(0, self._total - births) * (time.monotonic() - self._began) / self._fresh:.0f} s"

    def _table(self, best: Individual[Any] | None, standing: str) -> Table:
        lines = [f"best: {preview(best)}" if best else "", f"race: {standing}" if standing else ""]
        caption = Text("\n".join(filter(None, lines)))
        table = Table(*COLUMNS, caption=caption, caption_justify="left")
        for row in self._rows[-ROWS:]:
            table.add_row(*row)
        return table
