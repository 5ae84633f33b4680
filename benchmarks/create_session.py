"""Creating a session end to end against a bare Django view that only passes the call through.

``python benchmarks/create_session.py [--rounds N]``
"""

from __future__ import annotations

import argparse
import http.client
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from measure import interleaved, report
from servers import Corral, Servers, connected, csrf_token

TARGET = 0.35
SOURCES = 3
SESSIONS_A_ROUND = 80
"""Creations in one measurement, shared between its clients."""

LIMITS = {"requests.post": "/create/", "kept-open connection": "/create-kept-open/"}
"""The two ways to pass a call through: as documented, and as fast as `requests` can."""

Submit = Callable[[http.client.HTTPConnection], int]


def submit_to_corral(corral: Corral) -> Submit:
    """What a browser sends: the form with its CSRF token and a fresh idempotency token."""
    _, page = corral.ask("GET", "/sessions/new/")
    headers = corral.headers(is_form=True)
    same = [
        ("csrfmiddlewaretoken", csrf_token(page)),
        ("project_id", "prj-main"),
        ("binding", "bound"),
        ("shared_access", "read_only"),
        *(("index_ids", index_id) for index_id in corral.filled["index_ids"][:SOURCES]),
    ]

    def submit(connection: http.client.HTTPConnection) -> int:
        body = urlencode([*same, ("idempotency_token", secrets.token_urlsafe(18))])
        return _post(connection, "/sessions/new/", body, headers)

    return submit


def submit_to_bare(path: str, index_ids: list[str]) -> Submit:
    """The same choice without sign-in and tokens."""
    fields = [("project_id", "prj-main"), ("shared_access", "read_only"), *(("index_ids", pk) for pk in index_ids)]
    body = urlencode(fields)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return lambda connection: _post(connection, path, body, headers)


def _post(connection: http.client.HTTPConnection, path: str, body: str, headers: dict[str, str]) -> int:
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def per_second(port: int, submit: Submit, *, clients: int, expected: int) -> float:
    """Creations a second by so many clients, each with its own open connection.

    Args:
        port: the server asked.
        submit: one creation.
        clients: how many ask at the same time.
        expected: the status of success; anything else ends the benchmark.
    """
    wrong: list[int] = []
    ready = threading.Barrier(clients + 1)

    def work() -> None:
        with connected(port) as connection:
            ready.wait()
            for _ in range(SESSIONS_A_ROUND // clients):
                status = submit(connection)
                if status != expected:
                    wrong.append(status)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    if wrong:
        raise SystemExit(f"port {port} answered {wrong}")
    return SESSIONS_A_ROUND / took


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    asked = options.parse_args()
    with Servers() as servers:
        upstream = servers.stub()
        corral = servers.corral("corral", sessions=1_000, upstream=upstream)
        bare = servers.bare(upstream=upstream)
        index_ids = corral.filled["index_ids"][:SOURCES]
        ours = submit_to_corral(corral)
        print(
            f"Creating sessions, Corral : bare view, {asked.rounds} rounds of {SESSIONS_A_ROUND} [range over the run]"
        )
        for limit, path in LIMITS.items():
            theirs = submit_to_bare(path, index_ids)
            for clients in (1, 8):
                made, passed = interleaved(
                    partial(per_second, corral.port, ours, clients=clients, expected=302),
                    partial(per_second, bare, theirs, clients=clients, expected=201),
                    rounds=asked.rounds,
                )
                name = f"{limit}, {clients} client{'s' if clients > 1 else ''}"
                report(name, made, passed, unit="sessions/s", at_least=TARGET)


if __name__ == "__main__":
    main()
