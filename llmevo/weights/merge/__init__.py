"""Merging adapters: one typed function per method, whose signature is its schema; `METHODS` names them for recipes.

Every function takes adapters over the same modules and gives one. `space` says where it works:

* `product` (default): on the changes themselves, in a small common basis; exact for linear rules, and the full matrix is never formed;
* `delta`: on the full matrices, for rules that look at single entries (TIES, DARE, ...) exactly as their papers define them;
* `factors`: on `down` and `up` separately, as much released code does. It merges bases that do not belong together (averaging two
  adapters keeps about two thirds of the right norm), and is exact only when one of the factors is shared.

`rank` is how much is kept by an SVD; by default the largest rank that goes in.
"""

from llmevo.weights.merge.methods import (
    METHODS,
    breadcrumbs,
    dare,
    dare_ties,
    della,
    extrapolate,
    linear,
    model_stock,
    prune,
    slerp,
    split,
    task_arithmetic,
    ties,
)

__all__ = [
    "METHODS", "breadcrumbs", "dare", "dare_ties", "della", "extrapolate", "linear", "model_stock", "prune", "slerp", "split",
    "task_arithmetic", "ties",
]  # fmt: skip
