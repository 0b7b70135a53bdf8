"""`python -m benchmarks`: measure Steer beside what else is there, print, keep."""

from __future__ import annotations

import argparse
import compileall
import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

from benchmarks.peers import SYSTEMS, importable
from benchmarks.report import facts, tables
from benchmarks.run import ROOT, run_rounds
from benchmarks.works import WORKS

MANY = 16
"""From so many workers on, only start, execute and stop are measured unless said
otherwise: memory for 100 MB on each is not everybody's."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    elsewhere = dict(pair.split("=", 1) for pair in options.python)
    names = options.only.split(",") if options.only else list(SYSTEMS)
    systems = {
        name: elsewhere.get(name, sys.executable)
        for name in names
        if name in elsewhere or importable(name)
    }
    if missing := [name for name in names if name not in systems]:
        print(f"not installed here: {', '.join(missing)}", file=sys.stderr)
    works = options.works.split(",")
    if not options.works:
        works = list(WORKS) if options.n < MANY else ["idle", "execute"]
    _compile()
    records = run_rounds(systems, options.n, works, options.rounds, options.limit)
    print(tables(records))
    if options.json:
        content = {
            "machine": facts(),
            "systems": {name: SYSTEMS[name].note for name in systems},
            "records": [dataclasses.asdict(record) for record in records],
        }
        options.json.write_text(json.dumps(content, indent=1))
    return int(any(r.troubles for r in records if r.system == "steer"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--n", type=int, default=4, help="workers (4)")
    add("--rounds", type=int, default=5, help="sessions of each system, by turns (5)")
    add("--only", default="", help=f"some of {','.join(SYSTEMS)}")
    add("--works", default="", help=f"some of {','.join(WORKS)}")
    add("--limit", type=float, default=240, help="seconds a session may take (240)")
    add("--json", type=Path, help="keep all figures in this file")
    add(
        "--python",
        action="append",
        default=[],
        metavar="SYSTEM=PATH",
        help="the interpreter of a system that is installed elsewhere",
    )
    return parser


def _compile() -> None:
    """Else the first round would pay for compiling, or every one of them."""
    spec = importlib.util.find_spec("steer")
    assert spec is not None
    for folder in [*(spec.submodule_search_locations or ()), f"{ROOT}/benchmarks"]:
        compileall.compile_dir(folder, quiet=2)


if __name__ == "__main__":
    sys.exit(main())
