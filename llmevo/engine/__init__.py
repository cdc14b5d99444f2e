"""The loop: a fixed schedule of asks and tells, births in between, and a journal that can repeat it."""

from llmevo.engine import stop
from llmevo.engine.loop import Outcome, Told, evolve
from llmevo.engine.nursery import Nursery
from llmevo.engine.progress import Progress
from llmevo.engine.replay import Replayed, replay
from llmevo.engine.schedule import Cohort, Schedule
from llmevo.engine.stop import Stop

__all__ = [
    "Cohort", "Nursery", "Outcome", "Progress", "Replayed", "Schedule", "Stop", "Told", "evolve", "replay", "stop",
]  # fmt: skip
