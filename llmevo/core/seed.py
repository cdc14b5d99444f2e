"""Randomness as a value: a seed is folded with names and never consumed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@cache
def _key_sequence() -> Callable[[int], np.random.bit_generator.ISeedSequence]:
    """Makes seed sequences whose state is a number itself: the generator is that of `Philox(key=number)`, which would ask the operating
    system for entropy first and throw it away. A function, so that numpy is imported with the first generator.
    """
    import numpy as np

    class Key(np.random.bit_generator.ISeedSequence):
        def __init__(self, number: int) -> None:
            self.number = number

        def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray[Any, np.dtype[Any]]:
            return np.frombuffer(self.number.to_bytes(16, "little"), "<u8").astype(dtype)

    return Key


@dataclass(frozen=True, slots=True)
class Seed:
    """128 random bits. Folding names into a seed gives an independent seed; the same names give the same one.

    There is no hidden state: two stages that fold the same names draw the same numbers on purpose (a merge beside the same merge
    with noise, antithetic pairs), and no result depends on the order in which concurrent work completes.
    """

    value: int

    def fold(self, *names: str | int) -> Seed:
        """The seed for a named part of the work. Names are strings or integers; order matters."""
        digest = hashlib.blake2b(self.value.to_bytes(16, "little"), digest_size=16)
        for name in names:
            part = f"{type(name).__name__}:{name}".encode("utf-8", "surrogatepass")
            digest.update(len(part).to_bytes(4, "little") + part)
        return Seed(int.from_bytes(digest.digest(), "little"))

    def rng(self) -> np.random.Generator:
        """A fresh generator (Philox, keyed by this seed). Local to the caller: it is never stored or shared."""
        import numpy as np

        return np.random.Generator(np.random.Philox(_key_sequence()(self.value)))  # type: ignore[arg-type]  # typed too narrowly

    @classmethod
    def of(cls, number: int) -> Seed:
        """The root seed of a run from the user's integer."""
        return cls(0).fold("llmevo", number)
