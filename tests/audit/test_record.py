"""The record: what a row holds, what it must never hold, and that it outlives people."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.models import AuditEntry
from dashboard.audit.trail import Origin, record
from dashboard.chats.models import ChatSession

ORIGIN = Origin(request_id="req-1", ip="2001:db8::7")
pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


@dataclass
class Subject:
    """Anything that is acted upon."""

    audit_type: str = "session"
    audit_id: str = "ses-a"
    audit_label: str = "Budget"


def test_a_row_tells_who_did_what_to_which_subject_from_where_and_how_it_ended(ada: User) -> None:
    before = timezone.now()
    record(
        AuditAction.SESSION_CREATED,
        actor=ada,
        origin=ORIGIN,
        subject=Subject(),
        outcome=Outcome.FAILED,
        index_ids=["idx-1"],
        shared_access=None,
    )
    entry = AuditEntry.objects.get()
    assert before <= entry.at <= timezone.now()
    assert (entry.action, entry.outcome) == ("session.created", "failed")
    assert (entry.actor, entry.actor_name) == (ada, "ada")
    assert (entry.subject_type, entry.subject_id, entry.subject_label) == ("session", "ses-a", "Budget")
    assert entry.details == {"index_ids": ["idx-1"], "shared_access": None}
    assert (entry.request_id, entry.ip) == ("req-1", "2001:db8::7")
    assert str(entry) == "ada created a session (failed)"


def test_corral_itself_acts_without_a_person_subject_or_address() -> None:
    entry = record(AuditAction.SESSION_ADOPTED, actor=None, origin=Origin())
    assert (entry.actor, entry.actor_name, entry.ip) == (None, "Corral", None)
    assert (entry.subject_type, entry.subject_id, entry.subject_label, entry.details) == ("", "", "", {})
    assert entry.outcome == Outcome.SUCCESS


def test_a_long_label_is_cut_to_what_the_column_holds(ada: User) -> None:
    record(AuditAction.SESSION_VIEWED, actor=ada, origin=ORIGIN, subject=Subject(audit_label="x" * 400))
    assert AuditEntry.objects.get().subject_label == "x" * 255


def test_a_session_is_never_labelled_with_the_title_that_repeats_a_question(ada: User) -> None:
    now = timezone.now()
    session = ChatSession.objects.create(
        session_id="ses-a", generated_title="Who earns what?", last_updated_at=now, first_seen_at=now, synced_at=now
    )
    record(AuditAction.SESSION_VIEWED, actor=ada, origin=ORIGIN, subject=session)
    session.title = "Ours"
    record(AuditAction.SESSION_VIEWED, actor=ada, origin=ORIGIN, subject=session)
    rows = AuditEntry.objects.order_by("pk")
    assert [(row.subject_type, row.subject_id, row.subject_label) for row in rows] == [
        ("session", "ses-a", ""),
        ("session", "ses-a", "Ours"),
    ]
    assert "earns" not in str(list(AuditEntry.objects.values()))


def test_each_action_adds_a_row_and_changes_none(ada: User) -> None:
    first = record(AuditAction.SESSION_VIEWED, actor=ada, origin=ORIGIN, subject=Subject())
    before = AuditEntry.objects.filter(pk=first.pk).values().get()
    second = record(AuditAction.SESSION_VIEWED, actor=ada, origin=ORIGIN, subject=Subject())
    assert list(AuditEntry.objects.all()) == [second, first], "newest first"
    assert AuditEntry.objects.filter(pk=first.pk).values().get() == before


def test_a_row_goes_with_the_change_it_tells_of(ada: User) -> None:
    def change_and_fail() -> None:
        with transaction.atomic():
            record(AuditAction.SESSION_RENAMED, actor=ada, origin=ORIGIN)
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_deleting_a_person_neither_fails_nor_rewrites_the_record(ada: User) -> None:
    record(AuditAction.SESSION_CREATED, actor=ada, origin=ORIGIN, subject=Subject())
    before = AuditEntry.objects.values().get()
    number = ada.pk
    ada.delete()
    connection.check_constraints()
    assert AuditEntry.objects.values().get() == before
    assert (before["actor_id"], before["actor_name"]) == (number, "ada")
    assert str(AuditEntry.objects.get()) == "ada created a session (worked)"


@pytest.mark.parametrize("action", AuditAction)
def test_every_action_has_a_dotted_name_that_fits_and_a_sentence_of_its_own(action: AuditAction) -> None:
    assert action.value.count(".") == 1
    assert len(action.value) <= 40
    assert action.label[0].islower(), "it follows a name"


def test_old_names_stay_as_they_are() -> None:
    names = {
        "session.created",
        "session.adopted",
        "session.viewed",
        "session.renamed",
        "session.deleted",
        "instance.set_up",
    }
    assert names <= set(AuditAction.values)
