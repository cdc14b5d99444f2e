"""Zero-shot classification by a sentence encoder: the class whose description is nearest to the text."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmevo.core.context import Context
from llmevo.core.errors import ConfigError
from llmevo.core.resolve import need
from llmevo.fitness.contract import Answer, Case
from llmevo.text.genome import TextGenome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Texts to unit rows, (n, d), in order. The row of a text must not depend on the other texts."""
REMEMBERED = 20_000
"""Descriptions whose embeddings are kept."""


class Encoded:
    """A classifier without training: the genome's parts describe the classes in label order; the nearest description wins.

    Answers are names of parts; ties go to the first. Inputs are embedded once, descriptions when they are new; all genomes of a
    cohort in one call, in a thread.
    """

    whole_cohort = True

    def __init__(self, encode: Encode, *, key: str) -> None:
        self.encode, self._encoder_key = encode, key
        self._lock = threading.Lock()
        self._rows: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._inputs: tuple[tuple[str, ...], NDArray[np.float32]] | None = None

    @property
    def key(self) -> str:
        """The encoder."""
        return f"encoded({self._encoder_key})"

    async def __call__(
        self, genomes: Sequence[TextGenome], cases: Sequence[Case], contexts: Sequence[Context]
    ) -> list[list[Answer]]:
        found = await asyncio.to_thread(self.similarities, genomes, [case.input for case in cases])
        named = [list(genome.parts) for genome in genomes]
        return [[names[i] for i in rows.argmax(axis=1)] for names, rows in zip(named, found, strict=True)]

    def similarities(self, genomes: Sequence[TextGenome], texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """The cosine of each text (rows) to each description of a genome (columns, in the order of its parts), per genome.

        It computes: call it in a thread.
        """
        import numpy as np

        with self._lock:
            inputs = self._embedded_inputs(tuple(texts))
            self._embed([text for genome in genomes for text in genome.parts.values()])
            classes = [np.stack([self._rows[text] for text in genome.parts.values()]) for genome in genomes]
            while len(self._rows) > REMEMBERED:
                self._rows.popitem(last=False)
        return [inputs @ rows.T for rows in classes]

    def _embedded_inputs(self, texts: tuple[str, ...]) -> NDArray[np.float32]:
        import numpy as np

        if self._inputs is None or self._inputs[0] != texts:
            self._embed(texts)
            self._inputs = (texts, np.stack([self._rows[text] for text in texts]))
        return self._inputs[1]

    def _embed(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        for text in texts:
            if text in self._rows:
                self._rows.move_to_end(text)
        if not new:
            return
        rows = self.encode(new)
        if getattr(rows, "ndim", 0) != 2 or len(rows) != len(new):
            raise ConfigError(
                f"the encoder gave {getattr(rows, 'shape', type(rows).__name__)} for {len(new)} texts; expected (n, d)"
            )
        self._rows.update(zip(new, rows, strict=True))


def sentence_encoder(name: str | Path, *, batch: int = 1, longest: int = 256) -> Encode:
    """An encoder from a transformers model: mean over the tokens of the last layer, normalised.

    A folder is loaded without any network; another name is looked up on the hub. Texts are cut after `longest` tokens. With `batch` 1 a
    text's row never depends on its company, so that runs repeat exactly. With more, texts of equal length in tokens share a forward
    pass: faster, nothing is padded, but with several threads the last bits may depend on who shares it.
    """
    import numpy as np

    torch = need("torch", "encoder", f"the encoder {name}")
    transformers = need("transformers", "encoder", f"the encoder {name}")
    local = {"local_files_only": True} if Path(name).is_dir() else {}
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(name), **local)
        model: Any = transformers.AutoModel.from_pretrained(str(name), **local).eval()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the encoder {name} cannot be loaded: {error}") from error

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        lengths: dict[int, list[tuple[int, list[int]]]] = {}
        for place, text in enumerate(texts):
            ids = tokenizer(text, truncation=True, max_length=longest)["input_ids"]
            lengths.setdefault(len(ids), []).append((place, ids))
        rows: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(texts)
        with torch.no_grad():
            for some in lengths.values():
                for start in range(0, len(some), batch):
                    part = some[start : start + batch]
                    ids = torch.tensor([ids for _, ids in part])
                    states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
                    found = torch.nn.functional.normalize(states.mean(dim=1), dim=-1).float().numpy()
                    for (place, _), row in zip(part, found, strict=True):
                        rows[place] = row
        return np.stack(rows)

    return encode
