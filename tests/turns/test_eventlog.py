"""The log: durable first, then visible; each entry once, whatever the database does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, InternalError, OperationalError, transaction
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns import entries as entries_module
from dashboard.turns import eventlog
from dashboard.turns.answer import Entry
from dashboard.turns.entries import Item, LeaseLost, read_entries
from dashboard.turns.eventlog import EventLog
from dashboard.turns.models import LogEntry, Turn, TurnState
from tests.faulty import FaultyServer
from tests.turns.conftest import until
from tests.web.conftest import make_session

pytestmark = pytest.mark.postgres


@pytest.fixture
def log() -> Iterator[EventLog]:
    made = EventLog()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[EventLog]:
    """Another process's."""
    made = EventLog()
    yield made
    made.close()


@pytest.fixture
def turn(session: ChatSession, ada: User) -> Turn:
    return running_turn(session, ada)


def running_turn(session: ChatSession, person: User, number: int = 1) -> Turn:
    return Turn.objects.create(
        session=session,
        number=number,
        state=TurnState.RUNNING,
        asked_by=person,
        prompt="Why?",
        asked_at=timezone.now(),
        lease_holder="me",
    )


def entry(number: int, data: str = "{}") -> Entry:
    return Entry(number, "surprise", data)


def finish(turn: Turn) -> Callable[[], bool]:
    return lambda: turn.end(TurnState.ANSWERED, holder="me")


def test_entries_are_visible_when_they_are_durable(log: EventLog, turn: Turn) -> None:
    channel = log.open(turn.pk)

    log.append(turn.pk, [entry(1), entry(2)], holder="me").result(10)

    entries, ended = channel.after(0, 0)
    assert [one.number for one in entries] == [1, 2]
    assert not ended
    assert [one.number for one in read_entries(turn.pk, after=1)] == [2]


def test_the_end_comes_after_the_last_entry(log: EventLog, turn: Turn) -> None:
    channel = log.open(turn.pk)

    assert log.finish(turn.pk, [entry(1)], finish(turn), holder="me").result(10)

    entries, ended = channel.after(0, 5)
    assert ([one.number for one in entries], ended) == ([1], True)


def test_a_reader_in_another_process_gets_each_entry_once_and_the_end(
    log: EventLog, other: EventLog, turn: Turn
) -> None:
    log.open(turn.pk)
    log.append(turn.pk, [entry(1)], holder="me").result(10)
    channel = other.watch(turn.pk)
    got, ended, seen = list[int](), False, 0
    entries = list[Entry]()

    def write() -> None:
        for number in range(2, 30):
            log.append(turn.pk, [entry(number)], holder="me")
            time.sleep(0.01)
        log.finish(turn.pk, [entry(30)], finish(turn), holder="me")

    threading.Thread(target=write).start()
    ends = time.monotonic() + 20
    while not (ended and not entries) and time.monotonic() < ends:
        entries, ended = channel.after(seen, 1)
        got += [one.number for one in entries]
        seen = got[-1] if got else 0
    other.leave(channel)

    assert got == list(range(1, 31))


def test_nothing_is_added_to_a_turn_that_another_process_has(log: EventLog, turn: Turn) -> None:
    Turn.objects.update(lease_holder="another")

    growing = log.append(turn.pk, [entry(1)], holder="me")
    with_work = log.append(turn.pk, [entry(1)], lambda: 1 / 0, holder="me")
    last = log.finish(turn.pk, [entry(2)], finish(turn), holder="me")

    assert [type(one.exception(10)) for one in (growing, with_work, last)] == [LeaseLost] * 3
    assert read_entries(turn.pk) == []


def test_an_end_that_ends_nothing_leaves_no_entries(log: EventLog, turn: Turn) -> None:
    """The lease stood when they were stored and was gone when the turn was to be ended, which PostgreSQL allows."""
    last = log.finish(turn.pk, [entry(1)], lambda: False, holder="me")

    assert isinstance(last.exception(10), LeaseLost)
    assert read_entries(turn.pk) == []


def test_more_entries_than_one_statement_takes_are_stored_all_or_none(
    log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries_module, "ROWS", 3)

    log.append(turn.pk, [entry(number) for number in range(1, 9)], holder="me").result(10)
    taken = log.append(turn.pk, [entry(number) for number in (9, 10, 11, 8)], holder="me")

    assert taken.exception(10) is not None
    assert [one.number for one in read_entries(turn.pk)] == list(range(1, 9))


def test_who_watches_a_waiting_question_sees_it_begin(log: EventLog, turn: Turn) -> None:
    Turn.objects.update(state=TurnState.QUEUED)
    channel = log.watch(turn.pk)
    Turn.objects.update(state=TurnState.RUNNING)

    log.open(turn.pk)
    log.append(turn.pk, [entry(1)], holder="me")

    assert [one.number for one in channel.after(0, 5)[0]] == [1]


def test_readers_of_a_dropped_turn_are_let_go_and_find_the_stored_end(log: EventLog, turn: Turn) -> None:
    channel = log.open(turn.pk)
    log.append(turn.pk, [entry(1)], holder="me").result(10)
    Turn.objects.update(state=TurnState.INTERRUPTED)

    log.drop(turn.pk)

    assert channel.dropped
    again = log.watch(turn.pk)
    assert again is not channel
    assert again.after(0, 5)[1]


class Unreliable:
    """Makes the writer's first tries fail, before or after the commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int, *, after_commit: bool) -> None:
        self.left = times
        store = entries_module.store

        def unreliable(batch: Any) -> Any:
            fails, self.left = self.left > 0, self.left - 1
            if fails and not after_commit:
                raise error
            results = store(batch)
            if fails:
                raise error
            return results

        monkeypatch.setattr(eventlog, "store", unreliable)


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed"), InternalError("you slept")])
def test_while_the_database_is_away_nothing_is_lost(
    log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    Unreliable(monkeypatch, error, 3, after_commit=False)
    channel = log.open(turn.pk)

    log.append(turn.pk, [entry(1)], holder="me")
    log.append(turn.pk, [entry(2)], holder="me").result(10)

    assert [one.number for one in channel.after(0, 5)[0]] == [1, 2]
    assert [one.number for one in read_entries(turn.pk)] == [1, 2]


def test_a_commit_whose_confirmation_got_lost_is_not_made_twice(
    log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    Unreliable(monkeypatch, OperationalError("gone"), 1, after_commit=True)
    channel = log.open(turn.pk)

    log.append(turn.pk, [entry(1)], holder="me").result(10)

    assert [one.number for one in channel.after(0, 5)[0]] == [1]
    assert LogEntry.objects.count() == 1


def test_an_end_whose_confirmation_got_lost_is_an_end(
    log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    Unreliable(monkeypatch, OperationalError("gone"), 1, after_commit=True)
    channel = log.open(turn.pk)

    assert log.finish(turn.pk, [entry(1)], finish(turn), holder="me").result(10) is True

    assert channel.after(0, 5)[1]
    assert Turn.objects.get().state == TurnState.ANSWERED


def test_a_database_that_stays_away_is_told_to_whoever_writes(
    log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "RETRY_PAUSES", (0.01, 0.01))
    Unreliable(monkeypatch, OperationalError("gone"), 3, after_commit=False)

    with pytest.raises(OperationalError):
        log.append(turn.pk, [entry(1)], holder="me").result(10)
    log.append(turn.pk, [entry(1)], holder="me").result(10)


def test_what_cannot_be_stored_harms_no_other_turn(
    log: EventLog, turn: Turn, session: ChatSession, ada: User, faulty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry with a number taken, a turn that is gone, work that fails: all in one batch with a sound one."""
    sound = running_turn(make_session(faulty), ada)
    busy = threading.Event()
    log.append(turn.pk, [entry(1)], lambda: busy.wait(5), holder="me")
    time.sleep(0.1)
    taken = log.append(turn.pk, [entry(1)], holder="me")
    gone = log.append(10**9, [entry(1)], holder="me")
    failing = log.append(turn.pk, [entry(2)], lambda: 1 / 0, holder="me")
    fine = log.append(sound.pk, [entry(1)], holder="me")
    busy.set()

    fine.result(10)

    for broken in (taken, gone, failing):
        assert broken.exception(10) is not None
    assert [one.number for one in read_entries(sound.pk)] == [1]
    assert [one.number for one in read_entries(turn.pk)] == [1]


def test_what_is_forgotten_and_what_is_kept_for_those_who_come_back(
    log: EventLog, turn: Turn, session: ChatSession, ada: User, faulty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "LINGER", 0.3)
    running_one = running_turn(make_session(faulty), ada)
    log.open(running_one.pk)
    log.open(turn.pk)
    log.finish(turn.pk, [entry(1)], finish(turn), holder="me").result(10)
    watched = log.watch(turn.pk)
    elsewhere = running_turn(make_session(faulty), ada)
    log.leave(log.watch(elsewhere.pk))

    until(lambda: set(log._channels) == {running_one.pk, turn.pk})
    log.leave(watched)
    until(lambda: set(log._channels) == {running_one.pk})


def test_a_look_that_fails_leaves_no_watcher_behind(log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(channels: Any) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(eventlog, "look", fail)
        with pytest.raises(OperationalError):
            log.watch(turn.pk)

    assert log._channels[turn.pk].watchers == 0


def test_the_follower_survives_a_database_that_is_away(
    log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = log.watch(turn.pk)
    look, failed = entries_module.look, threading.Event()

    def fail_once(channels: Any) -> None:
        if not failed.is_set():
            failed.set()
            raise OperationalError("gone")
        look(channels)

    monkeypatch.setattr(eventlog, "look", fail_once)
    until(failed.is_set)
    LogEntry.objects.create(turn=turn, number=1, type="x", data="{}")

    assert channel.after(0, 5)[0]


def test_no_two_ends_are_in_one_transaction(log: EventLog, turn: Turn, catalog: FaultyServer, ada: User) -> None:
    another = running_turn(make_session(catalog), ada)
    happened: list[str] = []

    def work(name: str) -> Callable[[], bool]:
        def done() -> bool:
            happened.append(name)
            transaction.on_commit(lambda: happened.append(f"{name} is stored"))
            return True

        return done

    gate = threading.Event()
    log.append(turn.pk, [], gate.wait, holder="me")  # while the writer is busy with this, both ends come to wait
    ends = [log.finish(one.pk, [], work(name), holder="me") for one, name in ((turn, "first"), (another, "second"))]
    gate.set()

    assert [end.result(10) for end in ends] == [True, True]
    assert happened == ["first", "first is stored", "second", "second is stored"]


def test_what_nobody_waits_for_is_written_together_when_no_more_comes(
    log: EventLog, turn: Turn, catalog: FaultyServer, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = running_turn(make_session(catalog), ada)
    batches: list[set[int]] = []
    store = entries_module.store

    def noted(batch: list[Item]) -> list[Any]:
        batches.append({item.turn_id for item in batch})
        return store(batch)

    monkeypatch.setattr(eventlog, "store", noted)

    appended = [log.append(one.pk, [entry(1)], holder="me", at_once=False) for one in (turn, other)]
    time.sleep(0.2)
    assert not any(one.done() for one in appended)
    log.write()

    assert [one.result(10) for one in appended] == [None, None]
    assert batches == [{turn.pk, other.pk}]


def test_what_nobody_waits_for_goes_along_with_what_somebody_does(log: EventLog, turn: Turn) -> None:
    waits = log.append(turn.pk, [entry(1)], holder="me", at_once=False)
    log.append(turn.pk, [entry(2)], holder="me").result(10)
    assert waits.done()
    assert [found.number for found in read_entries(turn.pk)] == [1, 2]


def test_no_more_wait_for_company_than_a_moment_brings(
    log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "GATHERED", 3)
    appended = [log.append(turn.pk, [entry(number)], holder="me", at_once=False) for number in range(1, 4)]
    assert [one.result(10) for one in appended] == [None] * 3


def test_a_first_token_waits_for_nobody(log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "GROUP", 60.0)
    log.append(turn.pk, [entry(1)], holder="me").result(10)
    assert [found.number for found in read_entries(turn.pk)] == [1]
    monkeypatch.setattr(eventlog, "GROUP", 0.01)


def test_the_answers_of_a_process_keep_one_beat_and_those_of_another_their_own(log: EventLog, other: EventLog) -> None:
    beats = []
    for _ in range(5):
        beats.append(time.monotonic() + log.until_beat())
        time.sleep(0.03)
    apart = [(beat - beats[0] + eventlog.BEAT / 2) % eventlog.BEAT for beat in beats]
    assert apart == pytest.approx([eventlog.BEAT / 2] * 5, abs=0.01)
    assert log._offset != other._offset


@pytest.mark.parametrize("refused", ["eventlog-write_for_ever", "eventlog-follow_for_ever"])
def test_a_log_that_got_no_thread_tries_again(
    log: EventLog, turn: Turn, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            log.open(turn.pk)
        with pytest.raises(RuntimeError):
            log.watch(turn.pk)
    assert not log._channels, "nobody must be left with one that nothing comes to"
    log.open(turn.pk)

    log.append(turn.pk, [entry(1)], holder="me").result(10)
    assert len(log._threads) == 2
