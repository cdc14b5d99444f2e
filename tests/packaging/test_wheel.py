"""What is shipped is what was tested: the sdist, the wheel, and the wheel that is built from the sdist; each works far from here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LIBRARY = "llmevo/_library"
HEAVY = ("torch", "transformers", "datasets", "openai", "litellm", "pandas", "pyarrow")
SMALL_ENOUGH = 150_000_000
"""Bytes of a core install: the package and all that it needs."""


def call(command: Sequence[str | Path], folder: Path) -> str:
    """Runs a command away from the checkout; its output, or a failure that shows it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(source: Path, into: Path, what: str) -> Path:
    """The sdist or wheel of a source tree, by the build backend that is installed here: nothing is downloaded."""
    call([sys.executable, "-m", "build", "--no-isolation", f"--{what}", "--outdir", into, source], into.parent)
    [found] = into.iterdir()
    return found


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def files_in(source: Path) -> set[str]:
    """What a wheel has to hold, as a source tree has it."""
    places = {"llmevo": "llmevo", "operators": f"{LIBRARY}/operators", "prompts": f"{LIBRARY}/prompts"}
    return {
        f"{place}/{path.relative_to(source / folder).as_posix()}"
        for folder, place in places.items()
        for path in (source / folder).rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree without what other tools leave there while it is being packed."""
    folder = tmp_path_factory.mktemp("copy") / "llmevo"
    left = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "runs", "dist", "experiments")
    shutil.copytree(ROOT, folder, ignore=left)
    return folder


@pytest.fixture(scope="module")
def sdist(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(copy, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module")
def wheel(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(copy, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [inside] = folder.iterdir()
    return inside


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that was empty, without even pip, and holds the wheel."""
    folder = tmp_path_factory.mktemp("empty")
    return install(wheel, folder)


def install(package: Path, folder: Path, *options: str) -> Path:
    """Installs into a new environment; the folder of its programs."""
    call([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    pip = [sys.executable, "-m", "pip", "--python", folder / "venv", "install", "--quiet", "--disable-pip-version-check"]
    call([*pip, "-c", ROOT / "constraints.txt", *options, package], folder)
    return folder / "venv" / "bin"


def test_the_wheel_holds_the_package_and_its_library(wheel: Path, copy: Path) -> None:
    assert names_in(wheel) == files_in(copy)


def test_the_wheel_holds_operators_prompts_and_data(wheel: Path) -> None:
    names = names_in(wheel)
    for wanted in ("operators/evoprompt-ga.md", "prompts/classification/task.md", "prompts/classification/seeds.txt"):
        assert f"{LIBRARY}/{wanted}" in names
    assert {"llmevo/llm/prices.yaml", "llmevo/llm/embedded/weights/tokenizer.json", "llmevo/py.typed"} <= names


def test_the_sdist_is_complete(unpacked: Path) -> None:
    for wanted in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt", "setup.sh", "operators", "prompts", "tests", "docs"):
        assert (unpacked / wanted).exists(), wanted
    assert os.access(unpacked / "setup.sh", os.X_OK)


def test_a_wheel_from_the_sdist_is_the_same(wheel: Path, unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "wheel").mkdir()
    second = build(unpacked, tmp_path / "wheel", "wheel")
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(second) as other:
        assert {name: ours.read(name) for name in ours.namelist()} == {name: other.read(name) for name in other.namelist()}


LISTING = """
import json, sys, llmevo
from llmevo.library import listing, load_operator, load_prompts
found = {kind: [[one.name, one.origin, str(one.path)] for one in listing(kind)] for kind in ("operators", "prompts")}
for name, _, _ in found["operators"]: load_operator(name)
for name, _, _ in found["prompts"]: load_prompts(name)
print(json.dumps(found))
"""


def shipped(kind: str, source: Path) -> set[str]:
    """The names of the library's entries, as a source tree has them."""
    if kind == "operators":
        return {path.stem for path in (source / kind).glob("*.md")}
    return {path.parent.relative_to(source / kind).as_posix() for path in (source / kind).rglob("task.md")}


def test_an_installed_wheel_finds_its_library_from_anywhere(installed: Path, copy: Path, tmp_path: Path) -> None:
    found = json.loads(call([installed / "python", "-c", LISTING], tmp_path))
    for kind, entries in found.items():
        assert {name for name, _, _ in entries} == shipped(kind, copy)
        assert {origin for _, origin, _ in entries} == {"package"}
        assert all(Path(path).is_relative_to(installed.parent) for _, _, path in entries)


def test_the_command_of_an_installed_wheel_works_from_anywhere(installed: Path, copy: Path, tmp_path: Path) -> None:
    assert {one["name"] for one in json.loads(call([installed / "llmevo", "operators", "--json"], tmp_path))} == shipped("operators", copy)
    assert json.loads(call([installed / "llmevo", "recipes", "--json"], tmp_path))
    assert "Usage" in call([installed / "python", "-m", "llmevo", "--help"], tmp_path)


def test_an_editable_install_finds_the_checkout(copy: Path, tmp_path: Path) -> None:
    """The command and the library, from another folder; the dependencies come from here."""
    programs = install(copy, tmp_path, "--no-deps", "--editable")
    [packages] = (programs.parent / "lib").glob("python*/site-packages")
    [ours] = {path for path in sys.path if path.endswith("site-packages") and (Path(path) / "jinja2").is_dir()}
    (packages / "ours.pth").write_text(ours)
    found = json.loads(call([programs / "python", "-c", LISTING], tmp_path))
    for kind, entries in found.items():
        assert {name for name, _, _ in entries} == shipped(kind, copy)
        assert {(origin, Path(path).is_relative_to(copy)) for _, origin, path in entries} == {("checkout", True)}


def test_the_core_is_light(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without torch or any SDK, and small."""
    [packages] = (installed.parent / "lib").glob("python*/site-packages")
    here = {path.name for path in packages.iterdir()}
    assert not here & set(HEAVY)
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
    own = sum(path.stat().st_size for path in packages.joinpath("llmevo").rglob("*") if path.is_file())
    with capsys.disabled():
        print(f"\ncore install: {size / 1e6:.0f} MB in {packages.name}, of which llmevo {own / 1e6:.1f} MB")
    assert size < SMALL_ENOUGH
