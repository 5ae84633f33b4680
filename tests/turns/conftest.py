"""A process that asks a LlamaCloud over real HTTP: this one, with the threads it has in production."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from dashboard.audit.trail import Origin
from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.turns import lease
from dashboard.turns import pulse as pulse_module
from dashboard.turns import recover as recover_module
from dashboard.turns import run as run_module
from dashboard.turns import runners as runners_module
from dashboard.turns import threads as threads_module
from dashboard.turns.answer import Answer
from dashboard.turns.ask import ask
from dashboard.turns.ending import log_rows
from dashboard.turns.entries import read_entries
from dashboard.turns.eventlog import EVENT_LOG, EventLog
from dashboard.turns.models import LogEntry, Turn, TurnState
from dashboard.turns.runners import Runners
from dashboard.upstream import read_event
from dashboard.web import running
from tests.faulty import Answer as Scripted
from tests.faulty import FaultyServer, event_stream
from tests.localcloud.fixtures import localcloud, start_localcloud
from tests.web.conftest import browser, catalog, connect, embedded, faulty, make_session

__all__ = ["browser", "catalog", "connect", "embedded", "faulty", "localcloud", "start_localcloud"]

SOON = 20.0
"""Seconds within which anything here happens, on a busy machine."""
ORIGIN = Origin()


@pytest.fixture(autouse=True)
def process(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process's runners and event log, as good as new, and gone at the end with their connections.

    Lost answers are read back after shorter pauses than in production, as often, and a LlamaCloud that is busy with one
    is given up on sooner.
    """
    monkeypatch.setattr(recover_module, "READ_BACK_AFTER", (0.05, 0.1, 0.1, 0.2, 0.2))
    monkeypatch.setattr(run_module, "ASK_AGAIN_EVERY", 0.1)
    monkeypatch.setattr(run_module, "BUSY_FOR", 1.0)
    # No thread outlives what it was started for, to be counted by another test.
    monkeypatch.setattr(pulse_module, "LINGER", 0.0)
    monkeypatch.setattr(threads_module, "KEPT", 0.0)
    running._start_afresh()
    yield
    running.RUNNERS.drain(0)
    EVENT_LOG.close()
    keeper = running.RUNNERS._keeper
    if keeper is not None:
        keeper.join(SOON)
    running._start_afresh()


@pytest.fixture
def session(catalog: FaultyServer) -> ChatSession:
    """A session bound to one source, never asked."""
    return make_session(catalog)


def sse(*events: dict[str, Any]) -> bytes:
    """Events as they come over the wire."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def question(prompt: str = "Why?") -> dict[str, Any]:
    return {"type": "user_input", "content": prompt}


def delta(content: str) -> dict[str, Any]:
    return {"type": "text_delta", "content": content}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def call(number: int = 1) -> dict[str, Any]:
    return {"type": "tool_call", "call_id": f"c{number}", "name": "find", "arguments": {"query": "x"}}


def result(number: int = 1) -> dict[str, Any]:
    rows = [{"content": f"Passage {number}", "document": f"Document {number}", "page": number}]
    return {"type": "tool_result", "call_id": f"c{number}", "name": "find", "result": rows, "image_attachment": None}


def stop(**changes: Any) -> dict[str, Any]:
    usage = {"total_input_tokens": 10, "total_output_tokens": 5, "turns": 2, "duration_ms": 123.5}
    return {"type": "stop", "is_error": False, "error": None, "usage": usage, "skipped_index_ids": [], **changes}


def stream_path(session: ChatSession) -> str:
    return f"/api/v1/chat/{session.session_id}/messages/stream"


def script(faulty: FaultyServer, session: ChatSession, *answers: Scripted | bytes, repeat: bool = False) -> None:
    """What LlamaCloud answers to the next questions of this session."""
    made = [event_stream(one) if isinstance(one, bytes) else one for one in answers]
    faulty.script("POST", stream_path(session), made, repeat=repeat)


def slow(faulty: FaultyServer, session: ChatSession) -> ChatSession:
    """Let this session's answers take a minute."""
    script(faulty, session, event_stream(sse(question(), delta("Half")), (60.0, b"")), repeat=True)
    return session


def put(session: ChatSession, person: User, prompt: str = "Why?", nonce: str = "", **options: Any) -> Turn:
    """Ask as the page does."""
    return ask(
        running.RUNNERS,
        ChatSession.objects.get(pk=session.pk),
        actor=person,
        prompt=prompt,
        nonce=nonce or f"nonce-{time.monotonic_ns()}",
        origin=ORIGIN,
        **options,
    )


@contextmanager
def in_another_transaction(work: Callable[[], object]) -> Iterator[None]:
    """Somebody has done this in a transaction that is open meanwhile, as if they had fallen asleep in it."""
    done, over = threading.Event(), threading.Event()

    def sleep() -> None:
        with transaction.atomic():
            work()
            done.set()
            over.wait(SOON)
        connection.close()

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    try:
        assert done.wait(SOON)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        yield
    finally:
        over.set()
        sleeper.join()
        connection.close()


def until(condition: Callable[[], Any], patience: float = SOON) -> Any:
    """Wait until something is so; answer it."""
    ends = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < ends, "it never came to that"
        time.sleep(0.02)
    return found


def ended(turn: Turn, patience: float = SOON) -> Turn:
    """The turn when nothing more is to come of it, and its thread has gone."""

    def is_over() -> Turn | None:
        now = Turn.objects.select_related("session").get(pk=turn.pk)
        busy = turn.pk in running.RUNNERS._runs or turn.pk in running.RUNNERS._reaping
        return None if now.is_live or busy else now

    found = until(is_over, patience)
    assert isinstance(found, Turn)
    return found


def answer_of(turn: Turn) -> str:
    """The stored HTML."""
    return "".join(turn.pieces.order_by("position").values_list("html", flat=True))


def logged(turn: Turn) -> list[str]:
    """The types of the stored entries, checked to be numbered from 1 without a hole."""
    entries = read_entries(turn.pk)
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    return [entry.type for entry in entries]


def orphan(session: ChatSession, person: User, *entries: dict[str, Any], **columns: Any) -> Turn:
    """A turn whose process died after it had stored these events."""
    now = timezone.now()
    given = {"state": TurnState.RUNNING, "lease_holder": "dead:1:x", "lease_until": now - timedelta(minutes=1)}
    turn = Turn.objects.create(
        session=session,
        number=1,
        asked_by=person,
        prompt="Why?",
        index_ids=["idx-reports"],
        asked_at=now,
        **{**given, "nonce": "n", **columns},
    )
    ChatSession.objects.filter(pk=session.pk).update(is_running=True, first_asked_at=now, questions=1)
    answer = Answer()
    made = [entry for event in entries for entry in [*answer.take(read_event(event)), *answer.frame()]]
    LogEntry.objects.bulk_create(log_rows(turn, made))
    return turn


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead process is noticed sooner than in production."""
    monkeypatch.setattr(lease, "LEASE", timedelta(seconds=1.5))
    monkeypatch.setattr(runners_module, "HEARTBEAT", 0.3)
    monkeypatch.setattr(runners_module, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(runners_module, "GRACE", 0.6)


@pytest.fixture
def elsewhere() -> Iterator[Runners]:
    """Another process, as far as the database can tell."""
    log = EventLog()
    runners = Runners(upstream_client, log)
    yield runners
    runners.drain(0)
    if runners._keeper is not None:
        runners._keeper.join(20)
    log.close()
