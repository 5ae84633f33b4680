"""What else may happen to a turn: its readers leave, the database restarts, the way breaks, processes sleep or end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dj_database_url
import psycopg
import pytest
import requests

from tests import engines
from tests.localcloud.fixtures import StartLocalcloud
from tests.processes import PATIENCE, free_port
from tests.system.cable import cable
from tests.system.chaos import ChaosProxy, Passage
from tests.system.reader import Reading, read_turn
from tests.system.stack import ENGINES, Stack, database_of, stack_of, start_localcloud

pytestmark = pytest.mark.system
__all__ = ["start_localcloud"]


@pytest.fixture(params=ENGINES)
def stack(request: pytest.FixtureRequest, tmp_path: Path, start_localcloud: StartLocalcloud) -> Iterator[Stack]:
    """One server of two processes; a word every 30 ms, so that an answer takes some seconds."""
    with database_of(request.param, tmp_path) as url, stack_of(tmp_path, start_localcloud, url, delay=0.03) as made:
        yield made


@pytest.fixture(params=ENGINES)
def pair(request: pytest.FixtureRequest, tmp_path: Path, start_localcloud: StartLocalcloud) -> Iterator[Stack]:
    """Two servers of one process each."""
    with (
        database_of(request.param, tmp_path) as url,
        stack_of(tmp_path, start_localcloud, url, servers=2, processes=1, delay=0.03) as made,
    ):
        yield made


def state_of(stack: Stack) -> tuple[str, str]:
    """The state of the newest turn and who holds it."""
    return stack.query("SELECT state, lease_holder FROM dashboard_turn ORDER BY id DESC LIMIT 1")[0]


def until(condition: Any, patience: float = 60) -> Any:
    ends = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.05)
    return found


def has_frames(stack: Stack) -> bool:
    rows = stack.query("SELECT count(*) FROM dashboard_logentry WHERE type = 'text_delta'")
    return bool(rows[0][0])


def must_be_whole(stack: Stack, session: str, reading: Reading, *states: str) -> None:
    """The page shows the stored answer; the reader lost nothing and got nothing twice."""
    assert reading.ended in states, f"{reading}\n{stack.said}"
    assert (reading.lost, reading.doubled, reading.out_of_order) == (0, 0, 0), reading
    stored = stack.cloud.call("GET", f"/api/v1/chat/{session.strip('/').split('/')[1]}").json()["events"]
    answers = [event["content"] for event in stored if event["type"] == "text"]
    assert len(answers) == 1
    page = stack.browser.get(stack.address + session, timeout=PATIENCE).text
    for line in re.findall(r"[A-Za-z ]{30,}", answers[0]):
        assert line.strip() in page


def test_an_answer_is_finished_though_nobody_watches(stack: Stack) -> None:
    session, turn = stack.ask()
    with stack.browser.get(f"{stack.address}{turn}events/", stream=True, timeout=30) as answer:
        next(answer.iter_lines())  # the browser is closed after the first line

    until(lambda: state_of(stack)[0] == "answered")

    must_be_whole(stack, session, read_turn(stack.browser, stack.addresses, f"{turn}events/"), "answered")


def test_the_database_connection_may_break_in_the_middle(tmp_path: Path, start_localcloud: StartLocalcloud) -> None:
    """Every connection of the application is ended three times while an answer arrives."""
    with database_of("postgres", tmp_path) as url, stack_of(tmp_path, start_localcloud, url, delay=0.03) as stack:
        session, turn = stack.ask()

        def terminate() -> None:
            with psycopg.connect(url, autocommit=True) as server:
                for _ in range(3):
                    time.sleep(0.7)
                    server.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )

        thread = threading.Thread(target=terminate)
        thread.start()
        reading = read_turn(stack.browser, stack.addresses, f"{turn}events/", patience=90)
        thread.join()

        must_be_whole(stack, session, reading, "answered", "recovered")


@pytest.mark.parametrize("seconds", [3, 30])
def test_the_network_to_the_database_may_be_cut_in_the_middle(
    tmp_path: Path, start_localcloud: StartLocalcloud, seconds: float
) -> None:
    """Nobody is told of it: what is sent vanishes, for less and for longer than an unanswered connection is kept."""
    with database_of("postgres", tmp_path) as direct, cable() as way:
        there = dj_database_url.parse(direct)
        url = f"postgres://{quote(there['USER'])}:{quote(there['PASSWORD'])}@{way.far}:{way.listener.getsockname()[1]}/{there['NAME']}"
        with (
            closing(ChaosProxy(int(there["PORT"] or 5432), way.listener)),
            stack_of(tmp_path, start_localcloud, url, delay=0.03) as stack,
        ):
            stack.database = direct
            session, turn = stack.ask()
            until(lambda: has_frames(stack))
            way.cut()
            threading.Timer(seconds, way.mend).start()

            reading = read_turn(stack.browser, stack.addresses, f"{turn}events/", patience=150)

            must_be_whole(stack, session, reading, "answered", "recovered")


def test_a_way_that_breaks_while_llamacloud_finishes_costs_nothing(stack: Stack) -> None:
    def cut(passage: Passage, part: bytes) -> None:
        if passage.passed == 15:
            # Only our end: LlamaCloud writes on and stores the answer.
            passage.client.shutdown(2)

    stack.proxy.before_part = cut

    session, turn = stack.ask()

    must_be_whole(
        stack,
        session,
        read_turn(stack.browser, stack.addresses, f"{turn}events/", patience=90),
        "recovered",
        "answered",
    )


def test_a_way_that_breaks_before_llamacloud_has_the_question_is_said_plainly(stack: Stack) -> None:
    def cut(passage: Passage, part: bytes) -> None:
        passage.cut()
        raise OSError("cut")

    stack.proxy.before_request = cut

    session, turn = stack.ask()
    reading = read_turn(stack.browser, stack.addresses, f"{turn}events/", patience=90)

    page = stack.browser.get(stack.address + session, timeout=PATIENCE).text
    assert reading.ended in ("interrupted", "failed")
    assert "Ask again" in page


def test_told_to_end_a_server_finishes_its_answers_and_its_readers_go_on_elsewhere(pair: Stack) -> None:
    session, turn = pair.ask()
    until(lambda: has_frames(pair))
    leaving = pair.servers[0]

    reading = Reading()

    def read() -> None:
        found = read_turn(pair.browser, pair.addresses, f"{turn}events/", patience=90)
        vars(reading).update(vars(found))

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: state_of(pair)[1] != "")
    time.sleep(0.3)
    leaving.process.send_signal(signal.SIGTERM)
    reader.join(90)

    assert leaving.process.wait(60) == 0
    pair.addresses.reverse()
    must_be_whole(pair, session, reading, "answered")
    assert reading.connections >= 2


def test_what_is_not_finished_in_time_the_other_server_reads_back_at_once(pair: Stack) -> None:
    """LlamaCloud takes longer than the process may: the lease is let go, not left to run out."""
    opened = threading.Event()

    def hold(passage: Passage, part: bytes) -> None:
        if passage.passed == 10:
            opened.wait(40)

    pair.proxy.before_part = hold
    session, turn = pair.ask()
    until(lambda: has_frames(pair))
    pair.servers[0].process.send_signal(signal.SIGTERM)
    pair.addresses.reverse()

    reading = read_turn(pair.browser, pair.addresses[:1], f"{turn}events/", patience=90)
    opened.set()

    assert pair.servers[0].process.wait(60) == 0
    must_be_whole(pair, session, reading, "recovered")


def test_a_process_that_slept_does_not_touch_what_another_one_ended(pair: Stack) -> None:
    """SIGSTOP for longer than a lease, then SIGCONT: the sleeper wakes up in the middle of an answer long ended."""
    session, turn = pair.ask()
    until(lambda: has_frames(pair))
    sleeper = int(state_of(pair)[1].split(":")[1])
    os.kill(sleeper, signal.SIGSTOP)
    pair.addresses.reverse()
    try:
        reading = read_turn(pair.browser, pair.addresses[:1], f"{turn}events/", patience=90)
        before = pair.query("SELECT state, finished_at FROM dashboard_turn"), entries(pair)
    finally:
        os.kill(sleeper, signal.SIGCONT)
    time.sleep(4)

    assert (pair.query("SELECT state, finished_at FROM dashboard_turn"), entries(pair)) == before
    must_be_whole(pair, session, reading, "recovered")


def entries(stack: Stack) -> list[tuple[Any, ...]]:
    return stack.query("SELECT number, type, data FROM dashboard_logentry ORDER BY number")


# --- nginx ------------------------------------------------------------------------------------------------------------

CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream corral {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://corral; proxy_set_header Host $http_host; }}
  }}
}}
"""
"""nginx as it comes: buffering on, HTTP/1.0 to the servers, one after the other."""


@contextmanager
def nginx(folder: Path, addresses: list[str]) -> Iterator[str]:
    """Round robin over these servers."""
    if reason := engines.why_missing("nginx"):
        (pytest.fail if engines.is_required("nginx") else pytest.skip)(reason)
    port = free_port()
    servers = " ".join(f"server {address.removeprefix('http://')};" for address in addresses)
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIG.format(folder=folder, servers=servers, port=port))
    program = engines.nginx()
    assert program is not None
    process = subprocess.Popen([program, "-c", str(configuration), "-e", str(folder / "error.log")])
    try:
        until(lambda: _answers(port), 20)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/livez", timeout=5).ok
    except requests.ConnectionError:
        return False


def test_through_nginx_entries_arrive_as_they_are_written(pair: Stack, tmp_path: Path) -> None:
    with nginx(tmp_path, pair.addresses) as address:
        _, turn = pair.ask()
        arrivals = []
        with pair.browser.get(f"{address}{turn}events/", stream=True, timeout=30) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith(b"id: "):
                    arrivals.append(time.monotonic())
                if line.startswith(b"event: turn-ended"):
                    break

    assert len(arrivals) >= 8
    # Held back by a buffer, they would have come together at the end.
    assert arrivals[-1] - arrivals[0] > 1
    assert sum(later - earlier > 0.04 for earlier, later in pairwise(arrivals)) >= 5


def test_through_nginx_nothing_is_lost_or_doubled_wherever_a_reader_comes_back(
    pair: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reader is cut off every few entries and lands on the other server; then the running one is killed."""
    counts = {"turns": 0, "connections": 0, "entries": 0, "lost": 0, "doubled": 0}
    with nginx(tmp_path, pair.addresses) as address:
        for kills in (False, False, False, True):
            session, turn = pair.ask()
            if kills:
                until(lambda: state_of(pair)[0] == "running")
                threading.Timer(1.0, pair.kill_the_runner).start()
            reading = read_turn(pair.browser, [address], f"{turn}events/", patience=90, leave_after=4)
            must_be_whole(pair, session, reading, "answered", "recovered")
            counts["turns"] += 1
            counts["connections"] += reading.connections
            counts["entries"] += len(reading.ids)
            counts["lost"] += reading.lost
            counts["doubled"] += reading.doubled
    with capsys.disabled():
        print(f"\nthrough nginx: {counts}")  # noqa: T201  # the issue wants the counts seen
    assert counts["connections"] > 8
    assert (counts["lost"], counts["doubled"]) == (0, 0)
