"""The commands `steer journal` and `steer replay`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steer.client.cluster import Cluster
    from steer.client.journalfile import Journal


REST = 1.0
"""Seconds that a replay may need to say how it ended when its program has."""


def add_journal(commands: Any) -> None:
    """Add `steer journal`."""
    parser = commands.add_parser(
        "journal",
        help="Show what was done to a run",
        description="Show what was done to a run: at which point, by whom, and when.",
        epilog="It is kept when the run is over. Without RUN: the journals there are.",
    )
    parser.add_argument("name", nargs="?", metavar="RUN", help="its name, or a journal")
    parser.add_argument(
        "-n", type=int, default=0, metavar="N", help="only the last N deeds"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="in what form"
    )
    parser.add_argument("--profile", default="", help="IPython's profile")
    parser.set_defaults(run=show)


def show(arguments: argparse.Namespace) -> int:
    """Show a journal, or which there are."""
    from steer.client import journalfile

    if arguments.name is None:
        _list(arguments)
        return 0
    path = journalfile.find(arguments.name, arguments.profile)
    if arguments.output == "json":
        sys.stdout.write(path.read_text())
        return 0
    journal = journalfile.read(path)
    _print(f"{_headline(journal)}\n{path}\n")
    _print(repr(journal.last(arguments.n) if arguments.n else journal))
    return 0


def _list(arguments: argparse.Namespace) -> None:
    from steer.client import journalfile

    paths = journalfile.list_files(arguments.profile or None)
    if arguments.output == "json":
        _print(json.dumps([str(path) for path in paths], indent=1))
    elif not paths:
        _print("There are no journals: no run was steered yet.")
    for path in paths if arguments.output == "text" else ():
        journal = journalfile.read(path)
        _print(f"{path.stem:32} {len(journal):5} deeds  {_headline(journal)}")


def _headline(journal: Journal) -> str:
    words = [str(journal.head.get("script", "")), *journal.head.get("arguments", [])]
    of = f", a replay of {journal.replay_of}" if journal.replay_of else ""
    return f"{journal.run}: {' '.join(words)}, {journal.ranks} ranks{of}"


def add_replay(
    commands: Any,
    add_job: Callable[[Any], None],
    options: Callable[[Any], dict[str, str]],
) -> None:
    """Add `steer replay`; `add_job` adds the options of all who start ranks, `options`
    reads those of recipes."""
    from steer.client import runcommand

    parser = commands.add_parser(
        "replay",
        help="Run a program again, and steer it as a journal says",
        description="Run a program again, and steer it as a journal says: the same is "
        "done at the same points.",
        epilog="Options stand before the journal, and are those of `steer run`.",
        usage="steer replay [options] JOURNAL PROGRAM.py [arguments...]",
    )
    parser.add_argument(
        "--hold", action="store_true", help="hold the run where the last thing was done"
    )
    parser.add_argument("journal", help="the name of a run, or the file of its journal")
    runcommand.add_options(parser, add_job)
    parser.set_defaults(run=replay, options=options)


def replay(arguments: argparse.Namespace) -> int:
    """Run a program, and steer it as a journal says."""
    from steer.client import journalfile, runcommand
    from steer.client.replaying import deeds_of

    path = journalfile.find(arguments.journal, arguments.profile)
    journal = journalfile.read(path)
    deeds = deeds_of(journal)
    arguments.n = arguments.n or journal.ranks or None
    arguments.stop_at = 0
    player = _Player(journal, hold=arguments.hold, quiet=arguments.quiet)
    player.say(_what_is_replayed(journal, len(deeds)))
    status = runcommand.run(arguments, player.begin, replay_of=path.stem)
    player.finish()
    return 1 if player.failed else status


def _what_is_replayed(journal: Journal, deeds: int) -> str:
    of = f", itself the journal of a replay of {journal.replay_of}"
    return (
        f"repeating {deeds} deeds of {journal.path}{of if journal.replay_of else ''}."
    )


class _Player:
    """Replays in a thread, while this command looks after the program."""

    def __init__(self, journal: Journal, *, hold: bool, quiet: bool) -> None:
        self._journal = journal
        self._hold = hold
        self._quiet = quiet
        self.failed = False
        self._thread: threading.Thread | None = None

    def begin(self, cluster: Cluster) -> None:
        """The program is about to begin."""
        # A daemon: the command ends with the program, whatever we wait for.
        self._thread = threading.Thread(target=self._play, args=(cluster,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The program is over: let it say the rest."""
        if self._thread is not None:
            self._thread.join(REST)

    def _play(self, cluster: Cluster) -> None:
        from steer.client.client import Client
        from steer.client.replaying import Replay
        from steer.client.run import Run, wait_for_begin
        from steer.errors import SteerError

        with contextlib.closing(Client(str(cluster.cluster_file))) as client:
            try:
                wait_for_begin(client.link)
                Replay(Run.of(client), self._journal, self.say).play(hold=self._hold)
            except SteerError as error:
                self.failed = True
                _complain(f"the replay failed: {error}")
                with contextlib.suppress(SteerError):
                    client.link.wait(client.link.shutdown("", hub=True))

    def say(self, text: str) -> None:
        """Tell the user, unless that is not wanted."""
        if not self._quiet:
            _complain(text)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads it
        sys.stderr.write(f"steer: {text}\n")
        sys.stderr.flush()
