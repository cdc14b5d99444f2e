from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmevo.core import StorageError
from llmevo.storage.blobs import FolderBlobs, MemoryBlobs


@pytest.fixture(params=["memory", "folder"])
def blobs(request: Any, tmp_path: Path) -> Any:
    return MemoryBlobs() if request.param == "memory" else FolderBlobs(tmp_path / "blobs")


def test_content_reads_back_under_the_key_of_its_content(blobs: Any) -> None:
    keys = [blobs.put(data) for data in (b"", b"\x00\xff" * 1000, b"a", b"a")]
    assert len(set(keys)) == 3 and keys[2] == keys[3] and all(key.startswith("b2:") for key in keys)
    assert [blobs.get(key) for key in keys] == [b"", b"\x00\xff" * 1000, b"a", b"a"]


def test_a_missing_blob_is_named(blobs: Any) -> None:
    with pytest.raises(StorageError, match="0" * 32):
        blobs.get("b2:" + "0" * 32)


@given(st.binary(max_size=50))
def test_memory_and_keys_agree(data: bytes) -> None:
    store = MemoryBlobs()
    assert store.get(store.put(data)) == data


@pytest.mark.fault("S6", "W11")
def test_a_damaged_or_cut_file_is_found(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    key = blobs.put(b"tensor" * 100)
    path = tmp_path / key.removeprefix("b2:")
    for damage in (b"", b"tensor" * 99, b"Tensor" + b"tensor" * 99):
        path.write_bytes(damage)
        with pytest.raises(StorageError, match="does not match its hash"):
            blobs.get(key)


@pytest.mark.fault("W11")
def test_a_write_that_was_cut_leaves_no_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*args: Any) -> None:
        raise OSError("killed before the rename")

    blobs = FolderBlobs(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(StorageError, match="cannot be written"):
            blobs.put(b"tensor")
    key = blobs.put(b"tensor")
    assert blobs.get(key) == b"tensor" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.fault("X5")
@pytest.mark.parametrize("key", ["b2:../../etc/passwd", "../x", "/etc/passwd", "b2:", "", "b2:a/b", "b2:a\x00b", "b2:.", "C:x"])
def test_a_key_is_no_path(tmp_path: Path, key: str) -> None:
    with pytest.raises(StorageError):
        FolderBlobs(tmp_path).get(key)


@pytest.mark.fault("S5")
def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        FolderBlobs(tmp_path / "file" / "blobs").put(b"x")
