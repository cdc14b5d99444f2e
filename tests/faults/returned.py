"""What fitness functions return, by name: right and wrong."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from llmevo.core import Fitness, Usage
from llmevo.fitness import Score

RETURNED: dict[str, Any] = {
    "int": 3,
    "bool": True,
    "float32": np.float32(0.5),
    "zero-d array": np.array(0.25),
    "one element": np.array([0.75]),
    "score": Score(0.5, "half"),
    "pair": (0.5, "half"),
    "fitness": Fitness(
        0.5, violation=1.0, cases={"a": 1.0, "b": 0.0}, measures=(0.1, 0.2), feedback=("x",), usage=Usage(2, 3, 4)
    ),
    "mapping": {
        "value": np.float64(0.5),
        "feedback": "one",
        "violation": 2,
        "measures": np.array([1.0, 2.0]),
        "objectives": {"o": 1},
    },
    "own error": {"error": "no compiler"},
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": -float("inf"),
    "numpy nan": np.float32("nan"),
    "huge int": 10**400,
    "None": None,
    "str": "0.5",
    "list": [0.5],
    "vector": np.zeros(3),
    "complex": 1j,
    "fraction": Fraction(1, 2),
    "dict": {"accuracy": 0.5},
    "typo": {"value": 0.5, "mesures": [1]},
    "nan measure": {"value": 0.5, "measures": [float("nan")]},
    "scalar measures": {"value": 0.5, "measures": 3},
    "nan case": {"value": 0.5, "cases": {"a": float("nan")}},
    "negative violation": {"value": 0.5, "violation": -1},
    "feedback": {"value": 0.5, "feedback": [1]},
    "object": object(),
    "long": {"value": 0.5, "feedback": "x" * 5_000_000},
    "function": len,
}


def returns(name: str) -> Any:
    return RETURNED[name]
