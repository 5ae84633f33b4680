"""A creation whose answer was lost: its session is found again, or the person is asked; never is it repeated."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.utils import timezone

from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.models import AuditEntry
from dashboard.audit.trail import Origin
from dashboard.chats import claims
from dashboard.chats.create import OutcomeUnknown, StillCreating, abandon
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.chats.reconcile import reconcile
from dashboard.chats.sync import refresh_recent
from dashboard.upstream import LlamaCloud
from tests.chats.helpers import JOB, ORIGIN, SOURCES, at_once, database_url, fill, posts, submit, wire
from tests.faulty import (
    KEY,
    Answer,
    FaultyServer,
    Received,
    cut_body,
    failing,
    held,
    page,
    redirect,
    reset,
    stored_but_lost,
    truncated_json,
    wrong_type,
)
from tests.processes import ROOT, environment

State = CreationAttempt.State
TWIN = "form-twin"
LOSSES = {
    "reset": reset(),
    "silence": held(3.0),
    "truncated": truncated_json(),
    "cut": cut_body(),
    "page of a proxy": page(502),
    "page of a portal": wrong_type(),
    "500": failing(500),
    "503": failing(503, retry_after="3"),
    "redirect": redirect("/somewhere", 303),
    "other JSON": Answer(201, {"id": "no session"}),
}
Lose = Callable[[Callable[[Received], Any]], None]
pytestmark = pytest.mark.django_db


@pytest.fixture
def lose(faulty: FaultyServer) -> Lose:
    """Let the next creation do this work and lose its answer."""

    def script(work: Callable[[Received], Any]) -> None:
        faulty.script("POST", "/api/v1/chat", [stored_but_lost(work)])

    return script


@pytest.fixture
def used_before(faulty: FaultyServer, client: LlamaCloud) -> None:
    """Corral has listed this project's sessions before."""
    fill(faulty, wire("ses-before", index_ids=["idx-other"]))
    refresh_recent(client)


class TestFound:
    """The one session that is certainly the attempt's."""

    @pytest.mark.parametrize("loss", LOSSES)
    def test_a_session_whose_answer_was_lost_is_adopted(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, loss: str
    ) -> None:
        faulty.script("POST", "/api/v1/chat", [replace(LOSSES[loss], work=faulty.create)])
        session = submit(client, ada, shared_access="query")
        assert list(faulty.chats) == [session.session_id]
        assert len(posts(faulty)) == 1
        assert (session.owner, session.questions) == (ada, 0)
        assert [source.index_id for source in session.sources.all()] == list(SOURCES)
        attempt = CreationAttempt.objects.get()
        assert (attempt.state, attempt.session) == (State.ADOPTED, session)

    def test_the_record_tells_of_the_loss_and_of_the_adoption(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose
    ) -> None:
        lose(faulty.create)
        session = submit(client, ada)
        lost, adopted = AuditEntry.objects.order_by("pk")
        assert (lost.action, lost.outcome) == (AuditAction.SESSION_CREATED, Outcome.FAILED)
        assert lost.details["certain"] is False
        assert lost.details["error"] == "upstream_answer_lost"
        assert (adopted.action, adopted.outcome) == (AuditAction.SESSION_ADOPTED, Outcome.SUCCESS)
        assert (adopted.actor, adopted.subject_id) == (ada, session.session_id)
        assert adopted.details == {"attempt": "form-1"}

    def test_an_unbound_one_is_found_too_and_keeps_what_it_succeeds(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose
    ) -> None:
        before = submit(client, ada, "form-0")
        lose(faulty.create)
        session = submit(client, ada, index_ids=None, follows_id=before.pk)
        assert not session.is_bound
        assert session.follows == before

    @pytest.mark.parametrize("sent", [None, "missing"])
    def test_a_deployment_that_does_not_tell_the_sharing_is_believed(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose, sent: str | None
    ) -> None:
        def create_without(request: Received) -> None:
            row = faulty.create(request)
            row["shared_access"] = None
            if sent:
                del row["shared_access"]

        lose(create_without)
        assert submit(client, ada, shared_access="query").session_id in faulty.chats

    def test_one_that_turns_up_later_is_found_by_the_next_press(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose
    ) -> None:
        late: list[Received] = []
        lose(late.append)
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        faulty.create(late[0])
        assert submit(client, ada).session_id in faulty.chats
        assert len(posts(faulty)) == 1

    def test_one_that_a_refresh_saw_first_is_still_found(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose
    ) -> None:
        late: list[Received] = []
        lose(late.append)
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        faulty.create(late[0])
        refresh_recent(client)
        assert submit(client, ada).owner == ada

    @pytest.mark.usefixtures("used_before")
    def test_it_is_found_on_a_later_page(self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose) -> None:
        newer = [wire(f"ses-{n}-newer", last_updated_at=f"2099-01-01T00:{n % 60:02d}:00") for n in range(130)]

        def create_among_others(request: Received) -> None:
            faulty.create(request)
            fill(faulty, *newer)

        lose(create_among_others)
        assert submit(client, ada).session_id == "ses-1"

    @pytest.mark.usefixtures("used_before")
    def test_a_list_sorted_by_time_is_not_read_to_its_end(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose
    ) -> None:
        def create_now(request: Received) -> None:
            faulty.create(request)["last_updated_at"] = timezone.now().replace(tzinfo=None).isoformat()

        fill(faulty, *(wire(f"ses-old-{number}") for number in range(300)))
        lose(create_now)
        before = len(faulty.received("GET", "/api/v1/chat"))
        assert submit(client, ada).session_id == "ses-1"
        assert len(faulty.received("GET", "/api/v1/chat")) == before + 1


class TestNotTaken:
    """Whenever there is any doubt, the person is asked."""

    @pytest.fixture(autouse=True)
    def _nothing_is_taken(self, faulty: FaultyServer) -> Iterator[None]:
        yield
        assert len(posts(faulty)) == 1, "never repeated"
        assert not ChatSession.objects.exclude(owner=None).exists()
        attempt = CreationAttempt.objects.get(token="form-1")
        assert (attempt.state, attempt.session) == (State.UNKNOWN, None)
        assert not AuditEntry.objects.filter(action=AuditAction.SESSION_ADOPTED).exists()

    def refused_twice(self, client: LlamaCloud, ada: User, **choice: Any) -> OutcomeUnknown:
        with pytest.raises(OutcomeUnknown):
            submit(client, ada, **choice)
        with pytest.raises(OutcomeUnknown) as told:
            submit(client, ada, **choice)
        return told.value

    def test_when_nothing_was_stored(self, client: LlamaCloud, ada: User, lose: Lose) -> None:
        lose(lambda _: None)
        assert self.refused_twice(client, ada).detail

    def test_the_wait_that_was_asked_for_is_passed_on(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        faulty.script("POST", "/api/v1/chat", [failing(503, retry_after="9")])
        with pytest.raises(OutcomeUnknown) as told:
            submit(client, ada)
        assert told.value.retry_after == 9
        assert "503" in told.value.detail

    @pytest.mark.parametrize("listed", [True, False], ids=["seen by a refresh", "never listed"])
    def test_when_the_same_session_existed_before(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose, listed: bool
    ) -> None:
        fill(faulty, wire("ses-twin", index_ids=list(SOURCES)))
        if listed:
            refresh_recent(client)
        lose(lambda _: None)
        self.refused_twice(client, ada)

    def test_when_the_same_session_existed_before_far_down_the_list(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose
    ) -> None:
        newer = [wire(f"ses-{n}-newer", last_updated_at="2099-01-01T00:00:00") for n in range(130)]
        fill(faulty, wire("ses-twin", index_ids=list(SOURCES)), *newer)
        lose(lambda _: None)
        self.refused_twice(client, ada)

    def test_when_two_would_fit(self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose) -> None:
        lose(lambda request: (faulty.create(request), faulty.create(request)))
        self.refused_twice(client, ada)

    @pytest.mark.parametrize(
        "sign",
        [
            {"generated_title": "What were the findings?"},
            {"job_metadata": JOB},
            {"job_metadata": {}},
            {"job_metadata": "odd"},
            {"index_ids": ["idx-reports"]},
            {"index_ids": [*SOURCES, "idx-third"]},
            {"index_ids": None},
            {"shared_access": "read_only"},
        ],
        ids=str,
    )
    def test_when_it_ran_or_is_another_one(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose, sign: dict[str, Any]
    ) -> None:
        lose(lambda request: faulty.create(request).update(sign))
        self.refused_twice(client, ada, shared_access="query")

    def test_when_another_attempt_is_in_flight(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, ben: User, lose: Lose
    ) -> None:
        _attempt(ben, State.CLAIMED)
        lose(faulty.create)
        self.refused_twice(client, ada)

    def test_when_somebody_else_lost_the_same(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, ben: User, lose: Lose
    ) -> None:
        _attempt(ben, State.UNKNOWN)
        lose(faulty.create)
        self.refused_twice(client, ada)

    @pytest.mark.parametrize(
        "listing",
        [
            failing(400),
            page(200),
            Answer(body={"items": [wire("ses-1", index_ids=list(SOURCES)), {"no": "id"}]}),
            Answer(body={"items": [], "next_page_token": "same"}),
        ],
        ids=["refused", "unreadable", "one row unreadable", "in a circle"],
    )
    @pytest.mark.usefixtures("used_before")
    def test_when_the_list_cannot_be_read_to_its_end(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose, listing: Answer
    ) -> None:
        lose(faulty.create)
        faulty.script("GET", "/api/v1/chat", [listing], repeat=True)
        self.refused_twice(client, ada)

    @pytest.mark.usefixtures("used_before")
    def test_when_the_list_has_no_end(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dashboard.chats.reconcile.SEARCH_BUDGET", 0.2)
        lose(faulty.create)
        pages = [Answer(body={"items": [], "next_page_token": str(number)}, hold=0.05) for number in range(20)]
        faulty.script("GET", "/api/v1/chat", pages)
        self.refused_twice(client, ada)


def _attempt(actor: User, state: CreationAttempt.State, token: str = TWIN) -> CreationAttempt:
    """What another process has written down of the same choice."""
    return CreationAttempt.objects.create(
        token=token, actor=actor, state=state, index_ids=sorted(SOURCES), started_at=timezone.now()
    )


class TestOthers:
    """Attempts that look for the same session."""

    def test_a_session_another_attempt_made_is_not_taken(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, ben: User, lose: Lose
    ) -> None:
        lose(lambda _: None)
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        bens = submit(client, ben, "form-2")
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        bens.refresh_from_db()
        assert bens.owner == ben

    def test_a_session_another_attempt_made_does_not_stand_in_the_way_of_ones_own(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, ben: User, lose: Lose
    ) -> None:
        late: list[Received] = []
        lose(late.append)
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        bens = submit(client, ben, "form-2")
        made = faulty.create(late[0])
        assert submit(client, ada).session_id == made["session_id"] != bens.session_id

    @pytest.mark.parametrize(
        ("choice", "state"),
        [
            ({"index_ids": ["idx-reports"]}, State.CLAIMED),
            ({"shared_access": "query"}, State.CLAIMED),
            ({"project_id": "prj-2"}, State.UNKNOWN),
            ({"started_at": timezone.now() - timedelta(hours=1)}, State.UNKNOWN),
            ({}, State.REFUSED),
            ({}, State.ABANDONED),
        ],
        ids=["other sources", "other sharing", "other project", "long ago", "refused", "given up"],
    )
    def test_attempts_of_no_concern_raise_no_doubt(
        self,
        faulty: FaultyServer,
        client: LlamaCloud,
        ada: User,
        ben: User,
        lose: Lose,
        choice: dict[str, Any],
        state: CreationAttempt.State,
    ) -> None:
        other = _attempt(ben, state)
        CreationAttempt.objects.filter(pk=other.pk).update(**choice)
        lose(faulty.create)
        assert submit(client, ada).owner == ada

    def test_the_doubt_ends_with_the_other_attempt(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, ben: User, lose: Lose
    ) -> None:
        other = _attempt(ben, State.CLAIMED)
        lose(faulty.create)
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        CreationAttempt.objects.filter(pk=other.pk).update(state=State.REFUSED)
        assert submit(client, ada).owner == ada

    def test_starting_over_gives_the_attempt_up_and_a_new_form_makes_one_session(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, ben: User, lose: Lose
    ) -> None:
        lose(lambda _: None)
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        abandon("form-1", actor=ben, origin=Origin())
        assert CreationAttempt.objects.get().state == State.UNKNOWN, "somebody else's"
        abandon("form-1", actor=ada, origin=Origin())
        assert CreationAttempt.objects.get().state == State.ABANDONED
        session = submit(client, ada, "form-2")
        assert list(faulty.chats) == [session.session_id]
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        assert CreationAttempt.objects.get(token="form-1").session is None

    def test_what_was_created_cannot_be_given_up(self, client: LlamaCloud, ada: User) -> None:
        session = submit(client, ada)
        abandon("form-1", actor=ada, origin=Origin())
        assert submit(client, ada) == session

    @pytest.mark.parametrize("state", [State.ABANDONED, State.ADOPTED])
    def test_an_attempt_settled_while_the_list_was_read_adopts_nothing(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, lose: Lose, state: CreationAttempt.State
    ) -> None:
        late: list[Received] = []
        lose(late.append)
        with pytest.raises(OutcomeUnknown):
            submit(client, ada)
        faulty.create(late[0])
        attempt = CreationAttempt.objects.get()
        CreationAttempt.objects.update(state=state)
        assert reconcile(client, attempt, origin=ORIGIN) is None
        assert not ChatSession.objects.filter(owner=ada).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
class TestBreakdowns:
    """Our own process or database gives way in the middle."""

    def test_two_lost_attempts_of_one_person_never_share_a_session(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        attempts = [_attempt(ada, State.UNKNOWN, f"form-{number}") for number in range(6)]
        fill(faulty, wire("ses-1", index_ids=list(SOURCES)))
        left = iter(attempts)
        found = at_once(6, lambda: reconcile(client, next(left), origin=ORIGIN))
        assert sorted(map(str, found)) == [*["None"] * 5, "Untitled session"]
        assert CreationAttempt.objects.exclude(session=None).count() == 1
        assert AuditEntry.objects.filter(action=AuditAction.SESSION_ADOPTED).count() == 1

    def test_a_killed_process_leaves_a_claim_that_is_waited_for_and_then_reconciled(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(claims, "PATIENCE", 0.3)
        faulty.script("POST", "/api/v1/chat", [held(60.0, Answer(201, work=faulty.create))])
        changes = {"LLAMA_CLOUD_BASE_URL": faulty.url, "LLAMA_CLOUD_API_KEY": KEY, "DATABASE_URL": database_url()}
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.chats.submitter", "form-1", str(ada.pk)], cwd=ROOT, env=environment(**changes)
        )
        deadline = time.monotonic() + 60
        while not faulty.chats and time.monotonic() < deadline:
            time.sleep(0.05)
        child.kill()
        child.wait()
        with pytest.raises(StillCreating):
            submit(client, ada)
        claimed = CreationAttempt.objects.filter(state=State.CLAIMED)
        assert claimed.update(started_at=timezone.now() - claims.CLAIM_LASTS - timedelta(seconds=1)) == 1
        session = submit(client, ada)
        assert list(faulty.chats) == [session.session_id]
        assert len(posts(faulty)) == 1
        attempt = CreationAttempt.objects.get()
        assert (attempt.state, attempt.error_code) == (State.ADOPTED, "process_died")

    def test_a_session_the_database_could_not_keep_is_found_by_the_next_press(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        with _refusing("dashboard_auditentry"), pytest.raises(DatabaseError):
            submit(client, ada)
        attempt = CreationAttempt.objects.get()
        assert (attempt.state, attempt.error_code) == (State.UNKNOWN, "not_stored")
        assert not ChatSession.objects.exists(), "all of it or nothing"
        session = submit(client, ada)
        assert list(faulty.chats) == [session.session_id]
        assert session.owner == ada
        assert len(posts(faulty)) == 1

    def test_a_database_that_takes_nothing_more_leaves_the_claim_to_grow_old(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        with (
            _refusing("dashboard_auditentry"),
            _refusing("dashboard_creationattempt", "UPDATE", "NEW.state <> 'claimed'"),
            pytest.raises(DatabaseError),
        ):
            submit(client, ada)
        assert CreationAttempt.objects.get().state == State.CLAIMED
        CreationAttempt.objects.update(started_at=timezone.now() - timedelta(minutes=1))
        assert submit(client, ada).session_id in faulty.chats
        assert len(posts(faulty)) == 1


@contextmanager
def _refusing(table: str, event: str = "INSERT", condition: str = "1 = 1") -> Iterator[None]:
    """A database that refuses writes to this table, as a full disk would."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                f"CREATE TRIGGER refuse_{table} BEFORE {event} ON {table} WHEN {condition} "
                "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
        else:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$"
            )
            cursor.execute(
                f"CREATE TRIGGER refuse_{table} BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) "
                "EXECUTE FUNCTION refuse()"
            )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER refuse_{table}" + ("" if connection.vendor == "sqlite" else f" ON {table}"))
