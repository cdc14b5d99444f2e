"""Selection (who the parents are), succession (who lives on) and the combination of variations: blind to representation."""

from llmevo.breeding.combine import Bandit, Chain, Given, Ladder, Only, Reassess, Titled, Weighted, chain, ladder
from llmevo.breeding.novelty import Known, Traces
from llmevo.breeding.pareto import crowded_tournament, frontier, nondominated
from llmevo.breeding.parts import ANY, EACH, Either, Foremost, PartCrossover, on
from llmevo.breeding.product import Joined, Product
from llmevo.breeding.racing import Behind, Capo, Truncate, crown
from llmevo.breeding.selection import BestFirst, Roles, Roulette, Tournament, distinct, rank, roulette, swarm, targets, uniform
from llmevo.breeding.shaping import boltzmann, centered_rank, flat, linear_rank, proportional
from llmevo.breeding.sharing import Attraction, resource_sharing, shared
from llmevo.breeding.succession import (
    Comma,
    Compete,
    Lottery,
    always_replace,
    compete,
    keep_all,
    one_to_one,
    per_case,
    per_cell,
    ranked,
    seated,
    truncation,
    unchanged,
)
from llmevo.breeding.turns import InTurn

__all__ = [
    "ANY",
    "EACH",
    "Attraction",
    "Bandit",
    "Behind",
    "BestFirst",
    "Capo",
    "Chain",
    "Comma",
    "Compete",
    "Either",
    "Foremost",
    "Given",
    "InTurn",
    "Joined",
    "Known",
    "Ladder",
    "Lottery",
    "Only",
    "PartCrossover",
    "Product",
    "Reassess",
    "Roles",
    "Roulette",
    "Titled",
    "Tournament",
    "Traces",
    "Truncate",
    "Weighted",
    "always_replace",
    "boltzmann",
    "centered_rank",
    "chain",
    "compete",
    "crowded_tournament",
    "crown",
    "distinct",
    "flat",
    "frontier",
    "keep_all",
    "ladder",
    "linear_rank",
    "nondominated",
    "on",
    "one_to_one",
    "per_case",
    "per_cell",
    "proportional",
    "rank",
    "ranked",
    "resource_sharing",
    "roulette",
    "seated",
    "shared",
    "swarm",
    "targets",
    "truncation",
    "unchanged",
    "uniform",
]
