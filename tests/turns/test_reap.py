"""Reaping: who takes the turns of a dead process over, when, how much of their answers is kept, and what is told."""

from __future__ import annotations

import sqlite3
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns import eventlog
from dashboard.turns import recover as recover_module
from dashboard.turns import runners as runners_module
from dashboard.turns.ask import stop as stop_turn
from dashboard.turns.entries import Item, store
from dashboard.turns.lease import take_over
from dashboard.turns.models import Turn, TurnState
from dashboard.turns.past import NOT_ASKED
from dashboard.turns.runners import Runners
from dashboard.web import running
from dashboard.web.reader import Reader
from tests.faulty import FaultyServer, event_stream
from tests.turns.conftest import (
    ORIGIN,
    answer_of,
    call,
    delta,
    ended,
    logged,
    orphan,
    put,
    question,
    result,
    script,
    sse,
    stop,
    stream_path,
    text,
    until,
)

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("hurry")]

STORED = [question(), call(), result(), text("The whole answer."), stop()]


def test_the_answer_of_a_dead_process_is_read_back_with_its_steps(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    turn = orphan(session, ada, question(), call(), delta("The who"))
    faulty.events[session.session_id] = STORED

    running.RUNNERS.keep()

    turn = ended(turn)
    assert (turn.state, turn.position) == (TurnState.RECOVERED, 0)
    assert answer_of(turn) == "<p>The whole answer.</p>\n"
    assert logged(turn) == ["user_input", "tool_call", "text_delta", "tool_result"]
    session.refresh_from_db()
    assert (session.is_running, session.job_input_tokens) == (False, 10)
    assert not faulty.received("POST", stream_path(session))


def test_what_was_seen_is_kept_when_llamacloud_has_no_more(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    turn = orphan(session, ada, question(), delta("The who"))

    running.RUNNERS.keep()

    turn = ended(turn)
    assert (turn.state, turn.error) == (TurnState.INTERRUPTED, recover_module.CUT)
    assert answer_of(turn) == "<p>The who</p>\n"


def test_what_was_seen_is_kept_when_llamacloud_failed_without_a_word(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    turn = orphan(session, ada, question(), call(), delta("The who"))
    faulty.events[session.session_id] = [question(), stop(is_error=True, error="Too long.")]

    running.RUNNERS.keep()

    turn = ended(turn)
    assert (turn.state, turn.error, turn.position) == (TurnState.FAILED, "Too long.", 0)
    assert answer_of(turn) == "<p>The who</p>\n"
    assert logged(turn) == ["user_input", "tool_call", "text_delta"]


def test_a_dead_process_s_turn_that_was_to_be_stopped_is_stopped(session: ChatSession, ada: User) -> None:
    turn = orphan(session, ada, question(), delta("The who"), stop_asked_at=timezone.now())

    running.RUNNERS.keep()

    assert ended(turn).state == TurnState.STOPPED
    assert answer_of(turn) == "<p>The who</p>\n", "and keeps what had come"


def test_a_stopped_turn_of_a_dead_process_is_not_read_back(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the rest of it: LlamaCloud is not asked, though it has all of it by now."""
    # Nobody had it any more, so the first look takes it over, and no other look follows.
    monkeypatch.setattr(runners_module, "LOOK_EVERY", 3600)
    columns = {"stop_asked_at": timezone.now(), "lease_holder": ""}
    turn = orphan(session, ada, question(), delta("The who"), **columns)
    faulty.events[session.session_id] = STORED

    running.RUNNERS.keep()

    turn = ended(turn)
    assert (turn.state, answer_of(turn)) == (TurnState.STOPPED, "<p>The who</p>\n")
    assert not faulty.received("GET", f"/api/v1/chat/{session.session_id}")


def test_a_question_of_a_dead_process_that_llamacloud_does_not_have_is_looked_for_twice(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    """Nobody is left who might still be sending it."""
    turn = orphan(session, ada)

    running.RUNNERS.keep()

    turn = ended(turn)
    assert (turn.state, turn.error) == (TurnState.INTERRUPTED, NOT_ASKED)
    assert len(faulty.received("GET", f"/api/v1/chat/{session.session_id}")) == 2


def test_stopped_while_it_is_taken_over(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover_module, "READ_BACK_AFTER", (0.3,) * 50)
    faulty.events[session.session_id] = [question()]
    turn = orphan(session, ada, question())
    running.RUNNERS.keep()
    until(lambda: turn.pk in running.RUNNERS._reaping)

    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)

    assert ended(turn, 5).state == TurnState.STOPPED


def test_of_two_processes_one_takes_over(
    faulty: FaultyServer, session: ChatSession, ada: User, elsewhere: Runners
) -> None:
    turn = orphan(session, ada, question())
    faulty.events[session.session_id] = STORED

    running.RUNNERS.keep()
    elsewhere.keep()

    assert ended(turn).state == TurnState.RECOVERED
    assert len(faulty.received("GET", f"/api/v1/chat/{session.session_id}")) == 1


def test_a_lease_is_renewed_while_an_answer_is_read_back(
    faulty: FaultyServer, session: ChatSession, ada: User, elsewhere: Runners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover_module, "READ_BACK_AFTER", (0.5, 2.0, 2.0))
    elsewhere.keep()
    script(faulty, session, sse(question()))
    faulty.events[session.session_id] = [question()]

    turn = put(session, ada)
    until(lambda: len(faulty.received("GET", f"/api/v1/chat/{session.session_id}")) == 2)
    faulty.events[session.session_id] = STORED

    assert ended(turn).state == TurnState.RECOVERED
    assert len(faulty.received("GET", f"/api/v1/chat/{session.session_id}")) == 3


def test_a_lease_that_is_renewed_late_is_not_taken(
    session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage of the database every lease has run out; whoever lives renews it before anybody takes it."""
    monkeypatch.setattr(runners_module, "GRACE", 3.0)
    turn = orphan(session, ada, question(), lease_holder="slow:1:x")
    running.RUNNERS.keep()

    for _ in range(8):
        threading.Event().wait(0.5)
        held = Turn.objects.filter(pk=turn.pk, lease_holder="slow:1:x")
        assert held.update(lease_until=timezone.now() - timedelta(seconds=1)) == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL lets others write meanwhile")
def test_a_lease_that_could_not_be_renewed_because_nobody_could_write_is_not_taken(
    session: ChatSession, ada: User
) -> None:
    turn = orphan(session, ada, question(), lease_holder="slow:1:x")
    elsewhere_writes = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False)
    elsewhere_writes.execute("BEGIN IMMEDIATE")
    threading.Timer(2.0, elsewhere_writes.execute, ["ROLLBACK"]).start()
    running.RUNNERS.keep()
    threading.Event().wait(2.0)

    # Whoever waited longer than the keeper comes after it, but within its grace.
    threading.Event().wait(0.3)
    held = Turn.objects.filter(pk=turn.pk, lease_holder="slow:1:x")
    assert held.update(lease_until=timezone.now() + timedelta(seconds=9)) == 1
    elsewhere_writes.close()


def test_a_takeover_is_left_to_the_next_process(
    session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover_module, "READ_BACK_AFTER", (30.0,) * 5)
    turn = orphan(session, ada, question())
    running.RUNNERS.keep()
    until(lambda: turn.pk in running.RUNNERS._reaping)

    running.RUNNERS.drain(0)

    turn.refresh_from_db()
    assert (turn.state, turn.lease_holder) == (TurnState.RUNNING, "")


def test_a_turn_that_cannot_be_read_back_at_all_does_not_answer_for_ever(
    session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = orphan(session, ada, question())
    turn.log.update(data="not JSON")

    running.RUNNERS.keep()

    assert ended(turn).state == TurnState.INTERRUPTED


def test_an_orphan_that_cannot_be_taken_over_is_let_go(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("can't start new thread")

    turn = Turn.objects.create(
        session=session, number=1, asked_by=ada, prompt="?", asked_at=timezone.now(), index_ids=["idx-reports"],
        state=TurnState.RUNNING, lease_until=timezone.now(), lease_holder=running.RUNNERS.holder,
    )  # fmt: skip
    monkeypatch.setattr(threading, "Thread", none_left)

    running.RUNNERS._take_over(turn)

    turn.refresh_from_db()
    assert running.RUNNERS._reaping == {}
    assert (turn.state, turn.lease_holder) == (TurnState.RUNNING, "")


def test_who_watches_is_told_once_that_the_process_is_gone(
    session: ChatSession, ada: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.web.reader.LOOK_UP", 0.0)
    turn = orphan(session, ada, question(), delta("Half"), lease_until=timezone.now() + timedelta(hours=1))
    word = "This answer was interrupted. Corral is fetching the rest of it"
    path = f"/sessions/{session.session_id}/turns/1/"
    assert "Writing" in browser.get(path).content.decode()

    reader = Reader(turn, None)
    try:
        begun = reader.news()
        assert b"Half" in begun
        assert word.encode() not in begun
        Turn.objects.update(lease_until=timezone.now())
        until(lambda: word.encode() in reader.news())
        assert reader.news() == b"", "nor is it said over and over"
    finally:
        reader.close()
    later = Reader(turn, None)
    try:
        assert word.encode() in later.news(), "who comes anew is told too"
    finally:
        later.close()
    back = Reader(turn, 2)
    try:
        assert word.encode() in back.news(), "and who comes back for the rest"
    finally:
        back.close()
    assert word in browser.get(path).content.decode(), "and who asks again every two seconds"
    assert word in browser.get(f"/sessions/{session.session_id}/").content.decode()

    running.RUNNERS.keep()

    assert ended(turn).state == TurnState.INTERRUPTED


@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_an_answer_of_which_a_part_could_not_be_stored_is_read_back(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    """The database refused for longer than the writer tries, and was back before the next part."""

    def sometimes(batch: list[Item]) -> list[Any]:
        if fails and any(entry.type == "tool_result" for item in batch for entry in item.entries):
            raise OperationalError("away")
        return store(batch)

    fails = [True]
    monkeypatch.setattr(eventlog, "RETRY_PAUSES", (0.01,))
    monkeypatch.setattr(eventlog, "store", sometimes)
    stored = [question(), call(), result(), text("The whole answer."), stop()]
    script(faulty, session, event_stream(sse(question(), call()), (0.2, sse(result())), (pause, sse(*stored[3:]))))
    faulty.events[session.session_id] = stored

    turn = put(session, ada)
    until(lambda: turn.pk not in running.RUNNERS._runs)
    fails.clear()

    assert ended(turn).state == TurnState.RECOVERED
    assert answer_of(turn) == "<p>The whole answer.</p>\n"
    assert [entry.type for entry in turn.log.all()].count("tool_result") == 1


def test_a_turn_taken_over_is_no_orphan_any_more(session: ChatSession, ada: User, elsewhere: Runners) -> None:
    turn = orphan(session, ada, question())
    reader = Reader(turn, None)
    try:
        assert b"interrupted" in reader.news()
        assert turn.lease_until is not None
        assert take_over(turn.pk, turn.lease_until, elsewhere.holder)

        until(lambda: not reader._channel.orphaned)
    finally:
        reader.close()
