"""What a `Run` has of its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steer.client.journalfile import Journal, parse

if TYPE_CHECKING:
    from steer.client.client import Client


class Journaling:
    """What was done to a run."""

    client: Client
    name: str

    def journal(self, n: int = 0) -> Journal:
        """What was done to it: at which point, by whom, and when; the last n deeds."""
        link = self.client.link
        content = link.wait(link.ask("deeds", run=self.name))["deeds"]
        journal = parse(content)
        return journal.last(n) if n else journal
