"""Leases: who runs a turn, and what becomes of it when its process is asleep, told to end or short of threads."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.turns import lease
from dashboard.turns import recover as recover_module
from dashboard.turns import runners as runners_module
from dashboard.turns.ask import stop as stop_turn
from dashboard.turns.entries import LeaseLost
from dashboard.turns.eventlog import EVENT_LOG
from dashboard.turns.models import Turn, TurnState
from dashboard.turns.run import Run
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
    text,
    until,
)
from tests.turns.test_run import begun
from tests.web.conftest import make_session

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("hurry")]

STORED = [question(), call(), result(), text("The whole answer."), stop()]


def test_a_process_that_slept_adds_nothing_to_what_another_one_ended(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    parts = [(0.0, sse(question(), call(), delta("Early "))), (1.0, sse(delta("late "))), (0.3, sse(text("x"), stop()))]
    script(faulty, session, event_stream(*parts))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())
    # As if this process had been stopped for long: another one has taken the lease and ended the turn.
    from dashboard.turns.reap import reap

    faulty.events[session.session_id] = [question(), call(), result(), text("The whole answer."), stop()]
    assert Turn.objects.filter(pk=turn.pk).update(lease_holder="other") == 1
    turn.refresh_from_db()
    reap(upstream_client(), Turn.objects.select_related("session").get(pk=turn.pk), "other", lambda _: False)
    before = logged(turn)

    until(lambda: turn.pk not in running.RUNNERS._runs)

    turn.refresh_from_db()
    assert (turn.state, answer_of(turn)) == (TurnState.RECOVERED, "<p>The whole answer.</p>\n")
    assert logged(turn) == before == ["user_input", "tool_call", "text_delta", "tool_result"]


def test_a_process_that_lost_a_lease_stops_reading(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, event_stream(sse(question(), delta("x")), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())

    Turn.objects.filter(pk=turn.pk).update(lease_holder="other", lease_until=timezone.now() + timedelta(hours=1))

    until(lambda: turn.pk not in running.RUNNERS._runs)
    turn.refresh_from_db()
    assert (turn.state, turn.lease_holder) == (TurnState.RUNNING, "other")


def test_who_watches_a_turn_that_was_taken_over_is_sent_back_and_then_sees_its_end(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    """This process hears no more of it: whoever comes back is served from the database."""
    script(faulty, session, event_stream(sse(question(), delta("x")), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())
    watcher = Reader(turn, None)
    try:
        until(lambda: b"x" in watcher.news())
        Turn.objects.filter(pk=turn.pk).update(lease_holder="other", lease_until=timezone.now() + timedelta(hours=1))
        until(lambda: watcher.news() == b"" and watcher.over)
    finally:
        watcher.close()

    watcher = Reader(turn, turn.log.count())
    try:
        assert b"turn-ended" not in watcher.news()
        assert turn.end(TurnState.ANSWERED, holder="other")
        until(lambda: b"turn-ended" in watcher.news())
    finally:
        watcher.close()


def test_the_log_refuses_whoever_has_no_lease(session: ChatSession, ada: User) -> None:
    from dashboard.turns.answer import Entry

    turn = orphan(session, ada)
    entry = Entry(1, "text", "{}")

    late = EVENT_LOG.append(turn.pk, [entry], holder="somebody else")

    with pytest.raises(LeaseLost):
        late.result(10)
    assert not turn.log.exists()


def test_only_whoever_holds_the_lease_ends_a_turn_and_only_once(session: ChatSession, ada: User) -> None:
    turn = orphan(session, ada, lease_holder="me")

    assert not turn.end(TurnState.FAILED, holder="somebody else")
    assert turn.end(TurnState.ANSWERED, holder="me")
    assert not turn.end(TurnState.FAILED, holder="me")
    assert not turn.end(TurnState.FAILED, holder="")
    turn.refresh_from_db()
    assert turn.state == TurnState.ANSWERED


# --- the process ends -----------------------------------------------------------------------------------------------


def test_told_to_end_running_turns_are_finished_first(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, event_stream(sse(question(), delta("a")), (1.0, sse(text("ab"), stop()))))
    turn = put(session, ada)

    running.RUNNERS.drain(10)

    turn.refresh_from_db()
    assert turn.state == TurnState.ANSWERED


def test_what_is_not_finished_in_time_another_process_takes_at_once(
    faulty: FaultyServer, session: ChatSession, ada: User, elsewhere: Runners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners_module, "GRACE", 3600)
    monkeypatch.setattr(lease, "LEASE", timedelta(hours=1))
    script(faulty, session, event_stream(sse(question(), delta("a")), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())
    faulty.events[session.session_id] = STORED
    elsewhere.keep()

    running.RUNNERS.drain(0.1)

    assert ended(turn).state == TurnState.RECOVERED


def test_an_answer_being_read_back_is_left_to_the_next_process(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover_module, "READ_BACK_AFTER", (30.0,) * 5)
    script(faulty, session, sse(question(), delta("so")))
    turn = put(session, ada)
    until(lambda: turn.log.exists())
    threading.Event().wait(0.3)

    running.RUNNERS.drain(0)

    turn.refresh_from_db()
    assert (turn.state, turn.lease_holder) == (TurnState.RUNNING, "")


def test_a_question_that_has_not_left_is_asked_by_the_next_process(session: ChatSession, ada: User) -> None:
    turn = orphan(session, ada, lease_holder=running.RUNNERS.holder)
    one = Run(turn, upstream_client(), EVENT_LOG, running.RUNNERS._pulse, running.RUNNERS.holder, lambda _: False)
    one.abandon()

    one()

    turn.refresh_from_db()
    assert (turn.state, turn.lease_holder) == (TurnState.QUEUED, "")


def test_a_process_that_is_to_end_takes_nothing_more(
    faulty: FaultyServer, session: ChatSession, ada: User, elsewhere: Runners
) -> None:
    script(faulty, session, sse(*STORED))
    running.RUNNERS.close()

    turn = put(session, ada)
    assert turn.state == TurnState.QUEUED
    dead = orphan(make_session(faulty), ada)
    threading.Event().wait(1.5)
    assert {turn.state for turn in Turn.objects.all()} == {"queued", "running"}

    elsewhere.keep()
    assert ended(turn).state == TurnState.ANSWERED
    ended(dead)


# --- mishaps --------------------------------------------------------------------------------------------------------


def test_without_a_thread_to_run_in_a_question_waits(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(faulty, session, sse(*STORED))
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("turn-") and thread.name != "turn-keeper" and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    refused: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", refuse)

    turn = put(session, ada)

    assert ended(turn).state == TurnState.ANSWERED
    assert refused


def test_the_keeper_survives_a_database_that_is_away(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = threading.Event()
    renew = Runners._renew

    def broken(runners: Runners) -> None:
        if not away.is_set():
            away.set()
            raise OperationalError("server closed the connection")
        renew(runners)

    monkeypatch.setattr(Runners, "_renew", broken)
    running.RUNNERS.keep()
    until(away.is_set)
    script(faulty, session, sse(*STORED))

    assert ended(put(session, ada)).state == TurnState.ANSWERED
    assert running.RUNNERS._keeper is not None
    assert running.RUNNERS._keeper.is_alive()


def test_threads_leave_no_database_connection_behind(catalog: FaultyServer, ada: User, ben: User, cy: User) -> None:
    """Counted by the server itself."""
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL counts connections")
    people = [ada, ben, cy]

    def count() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return int(cursor.fetchone()[0])

    sessions = [make_session(catalog) for _ in range(9)]
    for session in sessions[:8]:
        script(catalog, session, event_stream(sse(question(), delta("x")), (1.5, sse(text("x"), stop()))))
    # The last one is cut and waits between two tries to read it back.
    script(catalog, sessions[8], sse(question()))
    turns = [put(session, people[number % 3]) for number, session in enumerate(sessions)]
    until(lambda: Turn.objects.filter(log__type="text_delta").distinct().count() == 8)

    # This thread, the writer, the follower and the keeper: nine live turns hold none.
    assert count() <= 4
    for turn in turns:
        ended(turn)
    assert count() <= 4


def test_who_was_idle_looks_at_once_when_there_is_something_to_look_after(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners_module, "LOOK_WHEN_IDLE", 3600)
    running.RUNNERS.keep()
    until(lambda: running.RUNNERS._is_idle)
    script(faulty, session, event_stream(sse(question(), delta("a")), (60.0, b"")))
    turn = put(session, ada)

    # As another process does it: only who looks learns of it.
    until(lambda: Turn.objects.filter(pk=turn.pk, state=TurnState.RUNNING).update(stop_asked_at=timezone.now()))

    assert ended(turn).state == TurnState.STOPPED


def test_a_turn_that_was_taken_over_meanwhile_is_no_fault(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    for level in ("warning", "exception"):
        monkeypatch.setattr(runners_module.log, level, said.append)
    monkeypatch.setattr(runners_module, "HEARTBEAT", float("inf"))
    script(faulty, session, event_stream(sse(question(), text("A")), (1.0, sse(text("B"), stop()))))
    turn = put(session, ada)
    until(lambda: turn.log.exists())
    elsewhere = {"lease_holder": "another:1:x", "lease_until": timezone.now() + timedelta(hours=1)}
    Turn.objects.filter(pk=turn.pk).update(**elsewhere)

    until(lambda: said)
    assert said == ["A turn was taken over by another process while this one was not running"]
    Turn.objects.filter(pk=turn.pk).update(state=TurnState.FAILED)


def test_what_runs_here_is_stopped_without_waiting_for_the_next_look(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners_module, "LOOK_EVERY", 3600)
    turn = begun(faulty, session, ada)

    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)

    assert ended(turn).state == TurnState.STOPPED
