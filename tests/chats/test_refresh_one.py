"""One session brought up to date: its summary always, its history only when that can have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from dashboard.catalog.models import Project
from dashboard.chats.models import ChatSession, LockState, RunState
from dashboard.chats.sync import fetch_unknown, mark_gone, refresh_one, refresh_recent
from dashboard.upstream import LlamaCloud, UpstreamFailed
from tests.chats.helpers import JOB, fill, wire
from tests.faulty import Answer, FaultyServer, Received, failing
from tests.localcloud.fixtures import RunningLocalcloud

QUESTION = {"type": "user_input", "content": "What of Q3?"}
ANSWER = {"type": "text", "content": "It rose."}
STOP = {"type": "stop", "is_error": False, "error": None, "usage": {}}
pytestmark = pytest.mark.django_db

Histories = Callable[[], int]


@pytest.fixture
def histories(faulty: FaultyServer) -> Histories:
    """How often the history of ``ses-a`` was read."""
    return lambda: len(faulty.received("GET", "/api/v1/chat/ses-a"))


@pytest.fixture
def session(faulty: FaultyServer, client: LlamaCloud) -> ChatSession:
    """A session that nobody has asked anything, known and up to date."""
    fill(faulty, wire("ses-a"))
    refresh_recent(client)
    return refresh_one(client, ChatSession.objects.get())


def change(faulty: FaultyServer, *events: dict[str, Any], **columns: Any) -> None:
    """Something happens at LlamaCloud."""
    faulty.chats["ses-a"] = {**faulty.chats["ses-a"], **columns}
    faulty.events["ses-a"] = [*faulty.events.get("ses-a", []), *events]


def test_the_history_is_read_once_and_then_only_when_the_summary_changed(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession, histories: Histories
) -> None:
    assert (session.questions, session.is_running, session.lock_state) == (0, False, LockState.OPEN)
    session = refresh_one(client, session)
    assert histories() == 1
    change(faulty, QUESTION, ANSWER, STOP, generated_title="What of Q3?", job_metadata=JOB)
    session = refresh_one(client, session)
    assert (session.questions, session.lock_state) == (1, LockState.LOCKED)
    assert session.run_state == RunState.SUCCEEDED
    assert session.raw == faulty.chats["ses-a"], "a summary, without the history"
    refresh_one(client, session)
    assert histories() == 2


def test_a_change_that_a_list_told_first_is_still_looked_into(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession, histories: Histories
) -> None:
    change(faulty, QUESTION, ANSWER, STOP, generated_title="What of Q3?", job_metadata=JOB)
    refresh_recent(client)
    session.refresh_from_db()
    assert (session.questions, session.lock_state) == (0, LockState.LOCKED)
    assert refresh_one(client, session).questions == 1
    assert histories() == 2


def test_a_run_is_noticed_followed_and_seen_to_its_end(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession, histories: Histories
) -> None:
    change(faulty, QUESTION, last_updated_at="2026-04-22T13:00:00")
    session = refresh_one(client, session)
    assert (session.run_state, session.lock_state, session.questions) == (RunState.RUNNING, LockState.LOCKED, 1)
    change(faulty, ANSWER)
    assert refresh_one(client, session).is_running, "looked at again although the summary is the same"
    change(faulty, STOP, job_metadata={**JOB, "is_error": True, "error": "no"})
    session = refresh_one(client, session)
    assert (session.run_state, session.questions, session.job_error) == (RunState.FAILED, 1, "no")
    assert histories() == 4


def test_questions_are_counted_over_all_turns_whatever_else_the_history_holds(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession
) -> None:
    odd: list[dict[str, Any]] = [{"type": "new_kind"}, {"type": "text_delta", "content": "x"}, {"is_error": False}]
    change(faulty, QUESTION, *odd, QUESTION, STOP, QUESTION, last_updated_at="2026-04-22T13:00:00")
    session = refresh_one(client, session)
    assert (session.questions, session.is_running) == (3, True)


def test_what_llamacloud_no_longer_has_is_gone_and_stays_as_last_known(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession
) -> None:
    ChatSession.objects.update(is_running=True)
    del faulty.chats["ses-a"]
    gone = refresh_one(client, session)
    assert gone.lock_state == LockState.GONE
    assert (gone.is_running, gone.raw, gone.sources.count()) == (False, session.raw, 1)
    assert gone.gone_at == gone.synced_at
    assert refresh_one(client, gone).gone_at == gone.gone_at, "since when does not change"


def test_a_session_that_vanishes_between_summary_and_history_is_gone(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession
) -> None:
    change(faulty, generated_title="New")
    faulty.script("GET", "/api/v1/chat/ses-a", [failing(404)])
    assert refresh_one(client, session).lock_state == LockState.GONE


def test_a_session_that_is_back_is_no_longer_gone(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession
) -> None:
    mark_gone(session)
    session.refresh_from_db()
    assert refresh_one(client, session).lock_state == LockState.OPEN


@pytest.mark.parametrize("path", ["/api/v1/chat/ses-a/summary", "/api/v1/chat/ses-a"])
def test_a_failure_changes_nothing(faulty: FaultyServer, client: LlamaCloud, session: ChatSession, path: str) -> None:
    change(faulty, QUESTION, generated_title="New")
    faulty.script("GET", path, [failing(500)], repeat=True)
    with pytest.raises(UpstreamFailed):
        refresh_one(client, session)
    unchanged = ChatSession.objects.get()
    assert (unchanged.raw, unchanged.synced_at) == (session.raw, session.synced_at)


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_a_deletion_during_the_reading_wins(faulty: FaultyServer, client: LlamaCloud, session: ChatSession) -> None:
    change(faulty, QUESTION, generated_title="New")
    detail = {**faulty.chats["ses-a"], "events": [QUESTION]}

    def deleted_meanwhile(_: Received) -> None:
        mark_gone(session)
        connections.close_all()

    faulty.script("GET", "/api/v1/chat/ses-a", [Answer(body=detail, work=deleted_meanwhile)])
    after = refresh_one(client, session)
    assert (after.lock_state, after.is_running, after.generated_title) == (LockState.GONE, False, "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_a_list_asked_for_before_a_deletion_does_not_bring_the_session_back(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession
) -> None:
    def deleted_meanwhile(_: Received) -> None:
        mark_gone(session)
        connections.close_all()

    faulty.script("GET", "/api/v1/chat", [Answer(body={"items": [wire("ses-a")]}, work=deleted_meanwhile)])
    refresh_recent(client)
    assert ChatSession.objects.get().lock_state == LockState.GONE


class TestUnknown:
    """A session made elsewhere, opened by its address before any list has told of it."""

    def test_it_is_fetched_and_kept(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        fill(faulty, wire("ses-new"))
        found = fetch_unknown(client, "ses-new")
        assert found == ChatSession.objects.get()
        assert found is not None
        assert found.owner is None

    def test_every_project_is_asked(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        for name in ("prj-1", "prj-2"):
            Project.objects.create(id=name, name=name, is_default=True, synced_at=timezone.now())
        found = Answer(body=wire("ses-new"))
        faulty.script("GET", "/api/v1/chat/ses-new/summary", [failing(403), found])
        session = fetch_unknown(client, "ses-new")
        assert session is not None
        assert session.project_id == "prj-2"
        asked = [one.query["project_id"] for one in faulty.received("GET")]
        assert asked == [["prj-1"], ["prj-2"]]

    @pytest.mark.parametrize("session_id", ["ses-none", "..", "a/b", ""])
    def test_what_nobody_has_is_nothing(self, client: LlamaCloud, session_id: str) -> None:
        assert fetch_unknown(client, session_id) is None
        assert not ChatSession.objects.exists()

    def test_nothing_is_known_while_llamacloud_is_away(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        faulty.script("GET", "/api/v1/chat/ses-new/summary", [failing(500)], repeat=True)
        assert fetch_unknown(client, "ses-new") is None


def test_what_localcloud_answered_is_seen(localcloud: RunningLocalcloud) -> None:
    client = LlamaCloud(localcloud.base_url, localcloud.api_key)
    index_id = localcloud.index_ids()["Travel policy"]
    session_id = localcloud.call("POST", "/api/v1/chat", json={"index_ids": [index_id]}).json()["session_id"]
    refresh_recent(client)
    session = refresh_one(client, ChatSession.objects.get())
    assert (session.lock_state, session.run_state) == (LockState.OPEN, RunState.NEVER)
    asked = {"index_ids": [index_id], "prompt": "When is a refund requested?"}
    localcloud.call("POST", f"/api/v1/chat/{session_id}/messages/stream", json=asked)
    session = refresh_one(client, session)
    assert (session.lock_state, session.run_state, session.questions) == (LockState.LOCKED, RunState.SUCCEEDED, 1)
    assert session.generated_title
    assert session.job_input_tokens
    assert session.job_duration_ms
    client.close()


def test_a_history_that_could_not_be_kept_is_read_again(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession
) -> None:
    change(faulty, QUESTION, ANSWER, STOP, generated_title="New")

    def fail(*_kept: object) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        refresh_one(client, session, on_history=fail)
    was_read: list[bool] = []

    def keep(*_kept: object) -> bool:
        was_read.append(True)
        return len(was_read) == 2

    for _ in range(3):
        refresh_one(client, ChatSession.objects.get(), on_history=keep)

    assert len(was_read) == 2, "until all of it is kept, and then no more"
