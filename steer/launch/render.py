"""A recipe, filled in: the command and the environment that start engines. Pure.

Everything that depends on the host comes in as an argument (the MPI that was found, the
user's environment, whether we are root), so that the golden tests in tests/launch hold
for every MPI on every machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from steer.errors import LaunchError
from steer.launch.flavour import Flavour
from steer.launch.recipe import PLACEHOLDER, Recipe, Settings

__all__ = ["Command", "render"]


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, with the whole environment, and how many times."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    copies: int = 1


def render(
    recipe: Recipe,
    n: int,
    python: str,
    options: Mapping[str, str],
    flavour: Flavour | None,
    environment: Mapping[str, str],
    *,
    connection: str,
    job: str,
    runtime: str,
    root: bool = False,
    program: Sequence[str] = (),
) -> Command:
    """Fill in a direct recipe for ``n`` engines of one job, or ``n`` times a program.

    ``connection`` is the path of the cluster's connection file, ``runtime`` a private
    directory for the debris of launchers. Raises LaunchError for an option that the
    recipe does not have.
    """
    if recipe.kind != "direct":
        raise LaunchError(
            f'The recipe "{recipe.name}" is for a scheduler, which cannot be used yet.',
            recipe=recipe.name,
            next_step='Use the recipe "mpiexec" inside an allocation.',
        )
    settings = _settings(recipe, flavour)
    words = {"n": str(n), "python": python, "runtime": runtime, "job": job}
    if flavour is not None:
        words["mpiexec"] = flavour.mpiexec
    lists = {
        "engine": tuple(program) or (python, "-m", "steer.engines"),
        "mpi": tuple(_fill(word, words) for word in settings.arguments),
        "options": _options(recipe, settings, options, words),
    }
    env = _inherited(recipe, environment)
    env.update(_variables(settings, flavour, env, words, root=root))
    env["STEER_CONNECTION"] = connection
    env["STEER_JOB"] = job
    env["STEER_SIZE"] = str(n)
    env["STEER_RECIPE"] = recipe.name
    return Command(
        argv=_expand(recipe.launch, words, lists),
        env=env,
        copies=n if recipe.each else 1,
    )


def _settings(recipe: Recipe, flavour: Flavour | None) -> Settings:
    if not recipe.needs_mpi:
        return recipe.settings
    if flavour is None:
        raise LaunchError(
            f'The recipe "{recipe.name}" needs an MPI, but none was given.',
            recipe=recipe.name,
            next_step="Find one with steer.launch.flavour.detect.",
        )
    settings = recipe.settings
    for key in (flavour.kind, f"{flavour.kind}-{flavour.major}"):
        settings = settings.plus(recipe.mpi.get(key, Settings()))
    return settings


def _options(
    recipe: Recipe,
    settings: Settings,
    given: Mapping[str, str],
    words: Mapping[str, str],
) -> tuple[str, ...]:
    for name in given:
        if name not in settings.options:
            raise _unknown_option(recipe, name, settings)
    return tuple(
        _fill(word, {**words, name: given[name]})
        for name, template in settings.options.items()
        if name in given
        for word in template
    )


def _unknown_option(recipe: Recipe, name: str, settings: Settings) -> LaunchError:
    known = sorted(settings.options)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        next_step = f'Did you mean "{near[0]}"?'
    elif known:
        next_step = f"It has: {', '.join(known)}."
    else:
        next_step = "Leave it out: this recipe has no options."
    return LaunchError(
        f'The recipe "{recipe.name}" has no option "{name}" here.',
        recipe=recipe.name,
        next_step=next_step,
    )


def _inherited(recipe: Recipe, environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not any(fnmatchcase(name, pattern) for pattern in recipe.forget)
    }


def _variables(
    settings: Settings,
    flavour: Flavour | None,
    users: Mapping[str, str],
    words: Mapping[str, str],
    *,
    root: bool,
) -> dict[str, str]:
    chosen: dict[str, str] = {}
    if flavour is None or not flavour.fabric:
        chosen |= {
            name: value
            for name, value in settings.without_fabric.items()
            if name not in users
        }
    if root:
        chosen |= settings.as_root
    chosen |= settings.environment
    return {name: _fill(value, words) for name, value in chosen.items()}


def _expand(
    template: tuple[str, ...],
    words: Mapping[str, str],
    lists: Mapping[str, tuple[str, ...]],
) -> tuple[str, ...]:
    argv: list[str] = []
    for word in template:
        if word.startswith("{") and word[1:-1] in lists:
            argv += lists[word[1:-1]]
        else:
            argv.append(_fill(word, words))
    return tuple(argv)


def _fill(word: str, words: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: words[match[1]], word)
