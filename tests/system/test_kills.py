"""kill -9 of the process that runs a turn, at seeded points over the turn's whole life: nothing is lost or doubled."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.localcloud.fixtures import StartLocalcloud
from tests.processes import PATIENCE
from tests.system.chaos import Passage
from tests.system.reader import Reading, read_turn
from tests.system.stack import ENGINES, Stack, database_of, stack_of, start_localcloud

pytestmark = pytest.mark.system
__all__ = ["start_localcloud"]

SEED = 20_26


@pytest.fixture(params=ENGINES)
def stack(request: pytest.FixtureRequest, tmp_path: Path, start_localcloud: StartLocalcloud) -> Iterator[Stack]:
    """The same on both engines."""
    with database_of(request.param, tmp_path) as url, stack_of(tmp_path, start_localcloud, url) as made:
        yield made


# --- the points -------------------------------------------------------------------------------------------------------

Point = Callable[[Stack, random.Random], None]


def before_the_post(stack: Stack, chance: random.Random) -> None:
    """The request has left the process's hands but never reaches LlamaCloud."""

    def hold(passage: Passage, part: bytes) -> None:
        time.sleep(chance.uniform(0, 0.2))
        stack.kill_the_runner()
        passage.cut()
        raise OSError("cut")

    stack.proxy.before_request = hold


def before_the_head(stack: Stack, chance: random.Random) -> None:
    """LlamaCloud has the question; not a byte of the answer has come."""

    def kill(passage: Passage, part: bytes) -> None:
        if passage.passed == 0:
            stack.kill_the_runner()

    stack.proxy.before_part = kill


def between_frames(stack: Stack, chance: random.Random) -> None:
    """Somewhere in the middle of the answer."""
    place = chance.randint(2, 60)

    def kill(passage: Passage, part: bytes) -> None:
        if passage.passed == place:
            stack.kill_the_runner()

    stack.proxy.before_part = kill


def between_commit_and_send(stack: Stack, chance: random.Random) -> None:
    """An entry is durable; whoever watches may not have it yet."""
    number = chance.randint(2, 6)

    def watch() -> None:
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            rows = stack.query(
                "SELECT max(number) FROM dashboard_logentry"
                " WHERE turn_id = (SELECT max(id) FROM dashboard_turn WHERE state = 'running')"
            )
            if rows[0][0] is not None and rows[0][0] >= number:
                stack.kill_the_runner()
                return
            time.sleep(0.001)

    threading.Thread(target=watch, daemon=True).start()


def between_stop_and_the_end(stack: Stack, chance: random.Random) -> None:
    """The last event has arrived; that the turn ended is not durable yet, or just is."""
    pause = chance.uniform(0, 0.02)

    def kill(passage: Passage, part: bytes) -> None:
        if b'"type":"stop"' in part or b'"type": "stop"' in part:
            threading.Timer(pause, stack.kill_the_runner).start()

    stack.proxy.before_part = kill


POINTS: list[Point] = [
    *[before_the_post] * 3,
    *[before_the_head] * 3,
    *[between_frames] * 7,
    *[between_commit_and_send] * 3,
    *[between_stop_and_the_end] * 4,
]


def test_a_killed_process_loses_no_answer_and_doubles_no_event(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty turns, each of whose process is killed at another point, read by somebody who comes back with a cursor."""
    chance, totals, ends = random.Random(SEED), Counter[str](), Counter[str]()
    for point in POINTS:
        stack.proxy.before_request = stack.proxy.before_part = lambda passage, part: None
        point(stack, chance)
        session, turn = stack.ask()
        reading = read_turn(stack.browser, [stack.address], f"{turn}events/", patience=90)
        _check(stack, session, reading, point)
        totals += Counter(events=len(reading.ids), lost=reading.lost, doubled=reading.doubled)
        totals["connections"] += reading.connections
        ends[f"{point.__name__}: {reading.ended}"] += 1
    with capsys.disabled():
        print(f"\nkills: {len(POINTS)}; {dict(totals)}")  # noqa: T201  # the issue wants the counts seen
        for end, count in sorted(ends.items()):
            print(f"  {count} × {end}")  # noqa: T201
    assert (totals["lost"], totals["doubled"]) == (0, 0)


def _check(stack: Stack, session: str, reading: Reading, point: Point) -> None:
    """The turn ended once, with the whole stored answer, or plainly interrupted where LlamaCloud has none."""
    name = point.__name__
    assert reading.ended in ("answered", "recovered", "interrupted"), f"{name}: {reading}\n{stack.said}"
    assert reading.out_of_order == 0, name
    stored = stack.cloud.call("GET", f"/api/v1/chat/{session.strip('/').split('/')[1]}").json()["events"]
    answers = [event["content"] for event in stored if event["type"] == "text"]
    page = stack.browser.get(stack.address + session, timeout=PATIENCE).text
    if reading.ended == "interrupted":
        assert not answers, f"{name}: the answer was there"
        assert "Interrupted" in page
        assert "Ask again" in page
    else:
        assert len(answers) == 1, f"{name}: asked {len(answers)} times"
        for line in re.findall(r"[A-Za-z ]{30,}", answers[0]):
            assert line.strip() in page, f"{name}: {line!r} is missing"
