"""The words of the engine: genome, individual, mating, fitness, view, and the contracts between them. No I/O."""

from llmevo.core.context import Context
from llmevo.core.contracts import Evaluate, Mixture, Selection, Strategy, Succession, Variation
from llmevo.core.errors import (
    BudgetExhausted,
    ConfigError,
    Interrupted,
    InvalidFitness,
    LlmevoError,
    Pause,
    ReplayDiffers,
    RunHeld,
    StorageError,
    VariationFailed,
)
from llmevo.core.fitness import FREE, UNSCORED, Fitness, Usage, as_score, common_cases, outranks, revised, standing
from llmevo.core.genome import Blobs, Genome, Shelf, canonical, content_key
from llmevo.core.individual import Birth, G, Individual, Stillborn, living
from llmevo.core.mating import CaseSlice, Mating, plan
from llmevo.core.seed import Seed
from llmevo.core.view import Memory, View

__all__ = [
    "FREE", "UNSCORED", "Birth", "Blobs", "BudgetExhausted", "CaseSlice", "ConfigError", "Context", "Evaluate", "Fitness", "G",
    "Genome", "Individual", "Interrupted", "InvalidFitness", "LlmevoError", "Mating", "Memory", "Mixture", "Pause", "ReplayDiffers",
    "RunHeld", "Seed", "Selection", "Shelf", "Stillborn", "StorageError", "Strategy", "Succession", "Usage", "Variation", "VariationFailed",
    "View", "as_score", "canonical", "common_cases", "content_key", "living", "outranks", "plan", "revised", "standing",
]  # fmt: skip
