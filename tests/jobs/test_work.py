"""What is done in the background: each kind of work against a real server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from dashboard.audit.actions import AuditAction
from dashboard.audit.models import AuditEntry
from dashboard.catalog.models import Index
from dashboard.chats.claims import CLAIM_LASTS
from dashboard.chats.create import OutcomeUnknown
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.jobs.models import Job
from dashboard.jobs.run import run_due
from dashboard.jobs.work import LOOK_FOR, all_work, reconcile_attempts
from dashboard.upstream import LlamaCloud
from tests.chats.helpers import SOURCES, fill, submit, wire
from tests.faulty import FaultyServer, Received, failing, page, stored_but_lost

State = CreationAttempt.State
pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def run_all(client: LlamaCloud) -> None:
    for work in all_work(lambda: client):
        while run_due(work):
            pass


def test_every_kind_of_work_is_done_and_leaves_a_row(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, *(wire(f"ses-{number}") for number in range(120)))
    run_all(client)
    assert Index.objects.count() == 2
    assert ChatSession.objects.count() == 120
    assert dict(Job.objects.values_list("name", "runs")) == {
        "catalog": 1,
        "recent-sessions": 1,
        "all-sessions": 1,
        "answer-logs": 1,
        "unanswered-creations": 1,
    }
    assert set(Job.objects.values_list("last_error", flat=True)) == {""}


def test_one_failing_kind_of_work_does_not_hinder_the_others(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, wire("ses-a"))
    faulty.script("GET", "/api/v1/indexes", [page(200)])
    run_all(client)
    catalog = Job.objects.get(name="catalog")
    assert (catalog.runs, "catalog_incomplete" in catalog.last_error) == (0, True)
    assert ChatSession.objects.count() == 1


def test_a_lost_creation_is_found_in_the_background(faulty: FaultyServer, client: LlamaCloud, ada: User) -> None:
    late: list[Received] = []
    faulty.script("POST", "/api/v1/chat", [stored_but_lost(late.append)])
    with pytest.raises(OutcomeUnknown):
        submit(client, ada)
    reconcile_attempts(client)
    assert CreationAttempt.objects.get().state == State.UNKNOWN
    faulty.create(late[0])
    reconcile_attempts(client)
    attempt = CreationAttempt.objects.get()
    assert attempt.state == State.ADOPTED
    assert attempt.session is not None
    assert attempt.session.owner == ada
    entry = AuditEntry.objects.get(action=AuditAction.SESSION_ADOPTED)
    assert (entry.actor, entry.request_id, entry.ip) == (ada, "", None)
    assert submit(client, ada) == attempt.session


def claimed(actor: User, age: timedelta, token: str, **columns: object) -> CreationAttempt:
    return CreationAttempt.objects.create(
        token=token, actor=actor, index_ids=sorted(SOURCES), started_at=timezone.now() - age, **columns
    )


def test_only_claims_of_dead_processes_are_settled_and_looked_for(
    faulty: FaultyServer, client: LlamaCloud, ada: User
) -> None:
    dead = claimed(ada, CLAIM_LASTS + timedelta(seconds=5), "form-dead", project_id="prj-1")
    alive = claimed(ada, CLAIM_LASTS - timedelta(seconds=5), "form-alive")
    fill(faulty, wire("ses-dead", index_ids=list(SOURCES)))
    reconcile_attempts(client)
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.state, dead.error_code, alive.state) == (State.ADOPTED, "process_died", State.CLAIMED)


def test_a_creation_is_not_looked_for_for_ever(faulty: FaultyServer, client: LlamaCloud, ada: User) -> None:
    old = claimed(ada, LOOK_FOR + timedelta(minutes=1), "form-old", state=State.UNKNOWN)
    fill(faulty, wire("ses-a", index_ids=list(SOURCES)))
    reconcile_attempts(client)
    assert not faulty.requests
    old.refresh_from_db()
    assert old.state == State.UNKNOWN


def test_attempts_that_cannot_be_found_do_not_keep_later_ones_from_being_looked_for(
    faulty: FaultyServer, client: LlamaCloud, ada: User
) -> None:
    for number in range(8):
        claimed(ada, timedelta(hours=3), f"form-{number}", state=State.UNKNOWN, shared_access="query")
    late = claimed(ada, timedelta(minutes=1), "form-late", state=State.UNKNOWN)
    fill(faulty, wire("ses-a", index_ids=list(SOURCES)))
    run_all(client)
    late.refresh_from_db()
    assert late.state == State.ADOPTED


def test_while_llamacloud_is_away_every_attempt_stays_as_it_is(
    faulty: FaultyServer, client: LlamaCloud, ada: User
) -> None:
    claimed(ada, timedelta(minutes=1), "form-1", state=State.UNKNOWN)
    faulty.script("GET", "/api/v1/chat", [failing(500)], repeat=True)
    reconcile_attempts(client)
    assert CreationAttempt.objects.get().state == State.UNKNOWN
