"""What plans matings: founding and breeding, distributions, islands, and phases of these."""

from llmevo.strategies.afresh import Afresh
from llmevo.strategies.confirmed import Confirmed
from llmevo.strategies.distribution import Distribution
from llmevo.strategies.genetic import Breeder, Founding, Genetic
from llmevo.strategies.islands import Islands, Reset
from llmevo.strategies.patient import Patient
from llmevo.strategies.phases import For, Phases, alternate, sequence
from llmevo.strategies.racing import Racing
from llmevo.strategies.soup import GreedySoup
from llmevo.strategies.stale import Stale
from llmevo.strategies.vectors import Vectors

__all__ = [
    "Afresh", "Breeder", "Confirmed", "Distribution", "For", "Founding", "Genetic", "GreedySoup", "Islands", "Patient", "Phases", "Racing",
    "Reset", "Stale", "Vectors", "alternate", "sequence",
]  # fmt: skip
