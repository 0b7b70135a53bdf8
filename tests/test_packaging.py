"""What is installed is what the checkout holds."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def settings() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed():
    listed = set(settings()["tool"]["setuptools"]["packages"])
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "steer").rglob("__init__.py")
    }

    assert folders | {"steer.launchers"} == listed


def test_every_recipe_can_be_found():
    from steer.launch.find import available

    names = {name for name, _ in available()}

    assert {path.stem for path in (ROOT / "launchers").glob("*.toml")} <= names
