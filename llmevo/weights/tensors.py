"""Safetensors files, checked before a byte of them is used: a foreign file cannot make us allocate or run anything."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import torch

from llmevo.core import ConfigError

MAX_HEADER = 10_000_000
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file as float32. Raises `ConfigError` that says what is wrong with the file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = _header(path, file.read(8), size, file.read(min(max(size - 8, 0), MAX_HEADER)))
            begin = 8 + header[0]
            spans = _spans(path, header[1], size - begin)
            file.seek(begin)
            data = file.read(size - begin)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    tensors = {}
    for name, (kind, shape, start, end) in spans.items():
        flat = torch.frombuffer(bytearray(data[start:end]), dtype=KINDS[kind]) if end > start else torch.empty(0)
        tensors[name] = flat.reshape(shape).to(torch.float32)
    return tensors


def _header(path: Path, prefix: bytes, size: int, head: bytes) -> tuple[int, dict[str, object]]:
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
    if not 0 < length <= min(size - 8, MAX_HEADER):
        raise broken(path, f"its header would be {length:,} bytes long, the file has {size:,}")
    try:
        header = json.loads(head[:length])
    except (ValueError, RecursionError) as error:
        raise broken(path, f"its header is not JSON ({str(error)[:80]})") from None
    if not isinstance(header, dict):
        raise broken(path, "its header is no mapping")
    header.pop("__metadata__", None)
    return length, header


def _spans(path: Path, header: dict[str, object], size: int) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
    """Kind, shape and place of every tensor; the places follow each other and fill the file."""
    spans = {}
    for name, entry in header.items():
        try:
            kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]  # type: ignore[index]
            numbers = [*shape, start, end]
        except (KeyError, TypeError, ValueError):
            raise broken(path, f"the entry of tensor {name!r} is not what the format says") from None
        if any(type(number) is not int or number < 0 for number in numbers):
            raise broken(path, f"tensor {name!r} has a size or place that is no count")
        if kind not in WIDTHS:
            raise ConfigError(
                f"{path}: tensor {name!r} is stored as {str(kind)[:20]}, which holds no exact adapter (quantised?): save it as float32 or "
                f"bfloat16"
            )
        if end - start != math.prod(shape) * WIDTHS[kind] or end > size:
            raise broken(path, f"tensor {name!r} does not fit into its place")
        spans[name] = (kind, shape, start, end)
    place = 0
    for _, _, start, end in sorted(spans.values(), key=lambda span: span[2:]):
        if start != place:
            raise broken(path, "its tensors overlap or leave gaps")
        place = end
    if place != size:
        raise broken(path, f"its tensors take {place:,} bytes, the file holds {size:,}")
    return spans


def broken(path: Path, why: str) -> ConfigError:
    """The error of a file that is truncated or was made up."""
    return ConfigError(f"{path} is no complete safetensors file: {why}. Download or save it again.")
