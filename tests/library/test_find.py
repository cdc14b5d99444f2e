"""Where library files come from: user, then package, then a checkout that is this project's."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmevo.core import ConfigError
from llmevo.library import find, listing
from llmevo.library.find import roots


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder somewhere else, with one shipped operator and one prompt folder."""
    import sys

    package = tmp_path / "site" / "llmevo"
    (package / "_library" / "operators").mkdir(parents=True)
    (package / "_library" / "operators" / "one.md").write_text("shipped")
    (package / "_library" / "prompts" / "judges" / "strict").mkdir(parents=True)
    (package / "_library" / "prompts" / "judges" / "strict" / "task.md").write_text("shipped")
    monkeypatch.setattr(sys.modules["llmevo.library.find"], "PACKAGE", package)
    return package


def test_an_installed_package_finds_its_own_files(installed: Path) -> None:
    found = find("operators", "one")
    assert (found.origin, found.path) == ("package", installed / "_library" / "operators" / "one.md")
    assert [one.name for one in listing("operators")] == ["one"]
    assert [one.name for one in listing("prompts")] == ["judges/strict"]
    assert find("prompts", "judges/strict").origin == "package"


@pytest.mark.parametrize(("name", "counts"), [("llmevo", True), ("somebody-elses", False), (None, False)])
def test_a_folder_beside_the_package_counts_only_in_our_checkout(installed: Path, name: str | None, counts: bool) -> None:
    root = installed.parent
    (root / "operators").mkdir()
    (root / "operators" / "two.md").write_text("beside")
    if name is not None:
        (root / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    assert ("two" in {one.name for one in listing("operators")}) == counts
    if not counts:
        with pytest.raises(ConfigError, match="no operator 'two'"):
            find("operators", "two")


def test_the_order_is_user_package_checkout_and_each_name_is_listed_once(installed: Path, tmp_path: Path) -> None:
    root = installed.parent
    (root / "pyproject.toml").write_text('[project]\nname = "llmevo"\n')
    for folder, names in ((root, ("one", "two", "three")), (tmp_path / "mine", ("one", "four"))):
        (folder / "operators").mkdir(parents=True)
        for name in names:
            (folder / "operators" / f"{name}.md").write_text("x")
    assert [origin for origin, _ in roots("operators", tmp_path / "mine")] == ["user", "package", "checkout"]
    listed = {one.name: one.origin for one in listing("operators", tmp_path / "mine")}
    assert listed == {"one": "user", "two": "checkout", "three": "checkout", "four": "user"}
    assert {one.name: one.origin for one in listing("operators")}["one"] == "package"


def test_the_checkout_itself_is_no_user_folder(installed: Path) -> None:
    root = installed.parent
    (root / "pyproject.toml").write_text('[project]\nname = "llmevo"\n')
    (root / "operators").mkdir()
    assert [origin for origin, _ in roots("operators", root)] == ["package", "checkout"]
