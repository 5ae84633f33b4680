"""Renaming and deleting: who may, what is recorded, and when it counts as done."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from dashboard.access.policy import NotAllowed
from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.models import AuditEntry
from dashboard.chats.change import delete_session, rename_session
from dashboard.chats.models import ChatSession, LockState
from dashboard.upstream import AccessRefused, AnswerLost, LlamaCloud, UpstreamError, UpstreamFailed
from tests.chats.helpers import ORIGIN, submit
from tests.faulty import Answer, FaultyServer, failing, reset

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(client: LlamaCloud, ada: User) -> ChatSession:
    """Ada's, with a generated title that repeats a question."""
    made = submit(client, ada, project_id="prj-1")
    ChatSession.objects.filter(pk=made.pk).update(generated_title="Who earns what?")
    AuditEntry.objects.all().delete()
    return ChatSession.objects.get()


def deletions(faulty: FaultyServer) -> int:
    return len(faulty.received("DELETE"))


@pytest.mark.parametrize("who", ["ada", "cy"])
def test_owner_and_administrator_rename_here_only(
    faulty: FaultyServer, session: ChatSession, request: pytest.FixtureRequest, who: str
) -> None:
    person = request.getfixturevalue(who)
    calls = len(faulty.requests)
    rename_session(session, "Pay", actor=person, origin=ORIGIN)
    rename_session(session, "Pay round", actor=person, origin=ORIGIN)
    assert ChatSession.objects.get().display_title == session.display_title == "Pay round"
    assert len(faulty.requests) == calls
    first, second = AuditEntry.objects.order_by("pk")
    assert (first.action, first.outcome, first.actor) == (AuditAction.SESSION_RENAMED, Outcome.SUCCESS, person)
    assert (first.details, second.details) == ({"before": "", "after": "Pay"}, {"before": "Pay", "after": "Pay round"})
    assert (second.subject_id, second.subject_label) == (session.session_id, "Pay round")


def test_an_empty_title_shows_llamaclouds_again(session: ChatSession, ada: User) -> None:
    rename_session(session, "Pay", actor=ada, origin=ORIGIN)
    rename_session(session, "", actor=ada, origin=ORIGIN)
    assert ChatSession.objects.get().display_title == "Who earns what?"
    assert not AuditEntry.objects.filter(subject_label__contains="earns").exists()


def test_others_are_denied_and_that_is_recorded(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession, ben: User
) -> None:
    with pytest.raises(NotAllowed, match="administrator can rename it"):
        rename_session(session, "Mine", actor=ben, origin=ORIGIN)
    with pytest.raises(NotAllowed, match="administrator can delete it"):
        delete_session(client, session, actor=ben, origin=ORIGIN)
    assert ChatSession.objects.get().title == ""
    assert ChatSession.objects.get().lock_state == LockState.LOCKED
    assert deletions(faulty) == 0
    renamed, deleted = AuditEntry.objects.order_by("pk")
    assert (renamed.action, deleted.action) == (AuditAction.SESSION_RENAMED, AuditAction.SESSION_DELETED)
    for entry in (renamed, deleted):
        assert (entry.outcome, entry.actor, entry.subject_id) == (Outcome.DENIED, ben, session.session_id)


def test_deleting_deletes_there_and_marks_here(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession, ada: User
) -> None:
    delete_session(client, session, actor=ada, origin=ORIGIN)
    assert not faulty.chats
    (sent,) = faulty.received("DELETE", f"/api/v1/chat/{session.session_id}")
    assert sent.query == {"project_id": ["prj-1"]}
    kept = ChatSession.objects.get()
    assert (kept.lock_state, kept.owner, kept.generated_title) == (LockState.GONE, ada, "Who earns what?")
    asked, entry = AuditEntry.objects.order_by("pk")
    assert (asked.action, asked.actor, asked.subject_id) == (
        AuditAction.SESSION_DELETION_ASKED, ada, session.session_id
    )  # fmt: skip
    assert (entry.action, entry.outcome, entry.subject_label) == (AuditAction.SESSION_DELETED, Outcome.SUCCESS, "")


def test_what_somebody_else_deleted_counts_as_deleted(
    faulty: FaultyServer, client: LlamaCloud, session: ChatSession, cy: User
) -> None:
    faulty.chats.clear()
    delete_session(client, session, actor=cy, origin=ORIGIN)
    assert ChatSession.objects.get().lock_state == LockState.GONE
    assert AuditEntry.objects.get(action=AuditAction.SESSION_DELETED).outcome == Outcome.SUCCESS


@pytest.mark.parametrize(
    ("answer", "kind"), [(failing(403), AccessRefused), (failing(500), UpstreamFailed), (reset(), AnswerLost)]
)
def test_a_failed_deletion_marks_nothing_is_recorded_and_not_repeated(
    faulty: FaultyServer,
    client: LlamaCloud,
    session: ChatSession,
    ada: User,
    answer: Answer,
    kind: type[UpstreamError],
) -> None:
    faulty.script("DELETE", f"/api/v1/chat/{session.session_id}", [answer])
    with pytest.raises(kind):
        delete_session(client, session, actor=ada, origin=ORIGIN)
    assert deletions(faulty) == 1
    assert ChatSession.objects.get().gone_at is None
    entry = AuditEntry.objects.get(action=AuditAction.SESSION_DELETED)
    assert (entry.outcome, entry.details) == (Outcome.FAILED, {"error": kind.code})
    delete_session(client, session, actor=ada, origin=ORIGIN)
    assert ChatSession.objects.get().lock_state == LockState.GONE
