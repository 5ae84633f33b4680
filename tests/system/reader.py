"""A browser's reading of a live answer, without the browser: follows it, comes back with its cursor, keeps all."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

import requests

from tests.processes import PATIENCE


@dataclass
class Reading:
    """What a reader got: entry ids as they came, snapshots with the id they stand for, and how it ended."""

    ids: list[int] = field(default_factory=list)
    snapshots: int = 0
    connections: int = 0
    lost: int = 0
    ended: str = ""
    cursor: str = ""

    @property
    def doubled(self) -> int:
        """Entries that came more than once."""
        return len(self.ids) - len(set(self.ids))

    @property
    def out_of_order(self) -> int:
        """Entries that came after a later one."""
        return sum(after < before for before, after in zip(self.ids, self.ids[1:], strict=False))


def read_turn(
    browser: requests.Session, addresses: list[str], path: str, *, patience: float = PATIENCE, leave_after: int = 0
) -> Reading:
    """Follow a turn to its closing event, from one address after the other as a round-robin proxy would have it.

    Args:
        browser: signed in at every address.
        addresses: where the processes answer.
        path: of the turn's events.
        patience: seconds for all of it.
        leave_after: messages after which a connection is broken off; 0 for never.
    """
    reading, ends = Reading(), time.monotonic() + patience
    while time.monotonic() < ends and not reading.ended:
        address = addresses[reading.connections % len(addresses)]
        reading.connections += 1
        headers = {"Last-Event-ID": reading.cursor} if reading.cursor else {}
        try:
            with browser.get(address + path, headers=headers, stream=True, timeout=30, allow_redirects=False) as answer:
                if answer.status_code != 200:
                    time.sleep(0.2)
                    continue
                _read(answer, reading, leave_after)
        except requests.RequestException:
            time.sleep(0.2)
    return reading


def _read(answer: requests.Response, reading: Reading, leave_after: int) -> None:
    message: list[bytes] = []
    taken = 0
    for line in answer.iter_lines():
        if line:
            message.append(line)
            continue
        text = b"\n".join(message).decode()
        message = []
        if text.startswith("event: turn-ended"):
            reading.ended = text.rpartition("data: ")[2]
            return
        found = re.match(r"id: (\d+)", text)
        if found is None:
            continue
        if whole := re.search(r' id="turn-\d+-(answer|foot)"', text):
            # A snapshot replaces what was there, and the last word adds no entry.
            reading.snapshots += whole[1] == "answer"
        else:
            reading.lost += max(0, int(found[1]) - int(reading.cursor or 0) - 1)
            reading.ids.append(int(found[1]))
        reading.cursor = found[1]
        taken += 1
        if taken == leave_after:
            return
