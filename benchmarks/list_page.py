"""The list of sessions with 100,000 cached sessions against 1,000: both served at once, asked in turns.

``python benchmarks/list_page.py [--sessions N] [--rounds N]``
"""

from __future__ import annotations

import argparse
import http.client
import time
from contextlib import ExitStack
from functools import partial
from urllib.parse import quote

from fill import RARE
from measure import interleaved, report
from servers import Corral, Servers, connected

FEW = 1_000
TARGET = 1.3


def pages(corral: Corral) -> dict[str, str]:
    """The addresses asked for, by what they show."""
    return {
        "first page": "/sessions/",
        "page in the middle": f"/sessions/?before={quote(corral.filled['middle'])}",
        "search with many hits": "/sessions/?q=contract",
        "search with one hit": f"/sessions/?q={RARE}",
        "one source": f"/sessions/?source={corral.filled['index_ids'][7]}",
        "locked": "/sessions/?state=locked",
        "failed last run": "/sessions/?state=failed",
        "deleted": "/sessions/?state=gone",
        "running (none)": "/sessions/?state=running",
    }


def milliseconds(connection: http.client.HTTPConnection, corral: Corral, path: str) -> float:
    """One page, first byte asked to last byte read."""
    started = time.perf_counter()
    connection.request("GET", path, headers=corral.headers())
    answer = connection.getresponse()
    answer.read()
    took = (time.perf_counter() - started) * 1000
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}")
    return took


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sessions", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=40)
    asked = options.parse_args()
    with Servers() as servers, ExitStack() as connections:
        many = servers.corral("many", sessions=asked.sessions)
        few = servers.corral("few", sessions=FEW)
        to_many = connections.enter_context(connected(many.port))
        to_few = connections.enter_context(connected(few.port))
        print(
            f"List page, {asked.sessions:,} : {FEW:,} sessions, median of {asked.rounds} [range over parts of the run]"
        )
        same = pages(few)
        for name, path in pages(many).items():
            ours, theirs = interleaved(
                partial(milliseconds, to_many, many, path),
                partial(milliseconds, to_few, few, same[name]),
                rounds=asked.rounds,
            )
            report(name, ours, theirs, unit="ms", at_most=TARGET if name == "first page" else 0)


if __name__ == "__main__":
    main()
