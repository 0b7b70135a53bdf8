"""Recipes are found in the user's, the site's and the packages' folders, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from steer.errors import LaunchError
from steer.launch import find as module
from steer.launch.find import available, find

RECIPE = 'description = "{}"\nlaunch = ["run"]\n'


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("STEER_LAUNCHERS", raising=False)
    monkeypatch.setattr(module, "_SITE", tmp_path / "site")


def put(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(RECIPE.format(folder.name))
    return file


def test_ours_come_with_the_package() -> None:
    assert find("mpiexec").kind == "direct"
    assert {"local", "mpiexec"} <= {name for name, _ in available()}


def test_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = put(tmp_path / "site", "local")
    assert find("local").origin == str(site)
    user = put(tmp_path / "home" / ".config" / "steer" / "launchers", "local")
    assert find("local").origin == str(user)
    first, second = put(tmp_path / "one", "local"), put(tmp_path / "two", "local")
    monkeypatch.setenv("STEER_LAUNCHERS", f"{tmp_path}/gone:{tmp_path}/one")
    assert find("local").origin == str(first)
    assert find(str(second)).origin == str(second)
    assert dict(available())["local"] == str(first)


def test_the_users_folder_may_be_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    file = put(tmp_path / "xdg" / "steer" / "launchers", "mine")
    assert ("mine", str(file)) in available()


def test_any_package_can_bring_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path / "site-packages" / "steer_test_recipes", "exotic")
    (file.parent / "__init__.py").write_text("")
    about = tmp_path / "site-packages" / "exotic-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: exotic\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[steer.launchers]\na = steer_test_recipes\nb = steer_test_is_not_there\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    assert find("exotic").origin == str(file)
    assert ("exotic", str(file)) in available()


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    put(tmp_path / "site", "sites_own")
    with pytest.raises(LaunchError) as caught:
        find("nothing")
    said = str(caught.value)
    assert 'No recipe is called "nothing". There are: ' in said
    assert "local" in said
    assert "sites_own" in said
