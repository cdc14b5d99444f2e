"""The best of a run folder as files that others read: texts, and PEFT folders."""

from __future__ import annotations

import json
from pathlib import Path

from llmevo.config.assemble import KINDS
from llmevo.core import ConfigError, StorageError


def export_best(folder: Path, output: Path, *, vote: bool = False) -> Path:
    """Writes the best adapter of a run as a PEFT folder, which is loaded back and compared before this returns; with `vote` a folder with
    those that vote, best first.
    """
    from llmevo.config.adapters import export_genome, export_voters
    from llmevo.report.summary import open_record, summarise

    summary = summarise(folder, KINDS)
    if summary.best is None:
        raise ConfigError(f"{folder}: nobody lived in this run yet; there is no best")
    if vote and summary.vote is None:
        raise ConfigError(f"{folder}: nobody voted in this run: its recipe does not let the best vote, or it is not done yet")
    database = open_record(folder)
    try:
        meta = dict(database.rows("meta"))
    finally:
        database.close()
    if summary.vote is None or not vote:
        return export_genome(summary.best.genome, meta, output, run=folder)
    genomes = {one.genome.key: one.genome for one in summary.hall}
    return export_voters([genomes[key] for key in summary.vote.members], meta, output, run=folder)


def export_parts(folder: Path, output: Path) -> list[Path]:
    """Writes the parts of a run's best into a folder: a text to a file of its own (JSON where it has parts itself), weights to a PEFT
    folder. Raises `ConfigError` when nobody lived or the folder is not empty.
    """
    from llmevo.config.adapters import export_genome
    from llmevo.report.summary import open_record, summarise

    best = summarise(folder, KINDS).best
    if best is None:
        raise ConfigError(f"{folder}: nobody lived in this run yet; there is no best")
    written = []
    database = open_record(folder)
    try:
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise ConfigError(f"{output} is not empty: choose another folder")
        for name, member in best.genome.members.items():
            texts = getattr(member, "parts", None)
            if texts is None:
                written.append(export_genome(member, dict(database.rows("meta")), output / name, run=folder))
            elif len(texts) == 1:
                written.append(output / f"{name}.txt")
                written[-1].write_text(next(iter(texts.values())) + "\n", encoding="utf-8")
            else:
                written.append(output / f"{name}.json")
                written[-1].write_text(json.dumps(dict(texts), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error}") from error
    finally:
        database.close()
    return written


__all__ = ["export_best", "export_parts"]
