"""One form makes one session, however often and wherever it is submitted."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.contrib.auth.models import User

from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.models import AuditEntry
from dashboard.chats import claims
from dashboard.chats.create import StillCreating, TokenReused
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.upstream import Invalid, LlamaCloud
from tests.chats.helpers import SOURCES, at_once, database_url, fill, posts, submit, wire
from tests.faulty import KEY, Answer, FaultyServer, stored_but_lost
from tests.processes import ROOT, environment

State = CreationAttempt.State


@pytest.mark.django_db
class TestTheCall:
    """What goes over the wire, and what is kept of the answer."""

    def test_a_bound_session_asks_with_its_sources_and_nothing_else(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        submit(client, ada)
        (sent,) = posts(faulty)
        assert sent.json() == {"index_ids": list(SOURCES)}
        assert sent.query == {}

    def test_an_unbound_session_sends_null(self, faulty: FaultyServer, client: LlamaCloud, ada: User) -> None:
        session = submit(client, ada, index_ids=None)
        assert posts(faulty)[0].json() == {"index_ids": None}
        assert not session.is_bound
        assert not session.sources.exists()

    def test_sharing_and_project_go_where_they_are_documented(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        session = submit(client, ada, shared_access="query", project_id="prj-1")
        (sent,) = posts(faulty)
        assert sent.json() == {"index_ids": list(SOURCES), "shared_access": "query"}
        assert sent.query == {"project_id": ["prj-1"]}
        assert (session.shared_access, session.project_id) == ("query", "prj-1")

    @pytest.mark.parametrize("status", [200, 201])
    def test_both_success_statuses_count(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, status: int
    ) -> None:
        faulty.script("POST", "/api/v1/chat", [Answer(status, wire("ses-ok", index_ids=list(SOURCES)))])
        assert submit(client, ada).session_id == "ses-ok"

    def test_the_session_belongs_to_who_asked_and_is_cached_with_its_sources(
        self, client: LlamaCloud, ada: User
    ) -> None:
        before = submit(client, ada, "form-0")
        session = submit(client, ada, follows_id=before.pk)
        assert session.owner == ada
        assert session.follows == before
        assert session.questions == 0
        assert [source.index_id for source in session.sources.all()] == list(SOURCES)

    def test_the_record_tells_who_chose_what(self, client: LlamaCloud, ada: User) -> None:
        session = submit(client, ada, project_id="prj-1", confirmed_not_ready=("idx-reports",))
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.outcome, entry.actor) == (AuditAction.SESSION_CREATED, Outcome.SUCCESS, ada)
        assert (entry.subject_type, entry.subject_id) == ("session", session.session_id)
        assert (entry.request_id, entry.ip) == ("req-1", "192.0.2.7")
        assert entry.details == {
            "attempt": "form-1",
            "index_ids": list(SOURCES),
            "shared_access": "",
            "project_id": "prj-1",
            "confirmed_not_ready": ["idx-reports"],
        }
        attempt = CreationAttempt.objects.get()
        assert (attempt.state, attempt.session, attempt.actor) == (State.CREATED, session, ada)
        assert attempt.confirmed_not_ready == ["idx-reports"]
        assert attempt.finished_at is not None

    def test_a_second_press_gets_the_same_session(self, faulty: FaultyServer, client: LlamaCloud, ada: User) -> None:
        assert submit(client, ada) == submit(client, ada, index_ids=SOURCES[::-1])
        assert len(posts(faulty)) == 1

    def test_another_form_makes_another_session(self, faulty: FaultyServer, client: LlamaCloud, ada: User) -> None:
        assert submit(client, ada, "form-1") != submit(client, ada, "form-2")
        assert len(posts(faulty)) == 2

    @pytest.mark.parametrize(
        "other",
        [{"index_ids": ("idx-reports",)}, {"index_ids": None}, {"shared_access": "query"}, {"project_id": "prj-2"}],
    )
    def test_a_used_form_with_another_choice_is_turned_away(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, other: dict[str, object]
    ) -> None:
        submit(client, ada)
        with pytest.raises(TokenReused):
            submit(client, ada, **other)  # type: ignore[arg-type]  # one keyword at a time
        assert len(posts(faulty)) == 1

    def test_nobody_gets_a_session_by_another_persons_form(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, ben: User
    ) -> None:
        submit(client, ada)
        with pytest.raises(TokenReused):
            submit(client, ben)
        assert len(posts(faulty)) == 1

    def test_the_first_creation_remembers_all_that_was_there_before(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        fill(faulty, *(wire(f"ses-old-{number}") for number in range(130)))
        submit(client, ada)
        started_at = CreationAttempt.objects.get().started_at
        assert ChatSession.objects.filter(first_seen_at__lt=started_at).count() == 130
        submit(client, ada, "form-2")
        assert len(faulty.received("GET")) == 2, "two pages, once"


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
class TestMany:
    """Ten at once, in threads and in processes."""

    def test_ten_submissions_of_one_form_create_one_session_and_all_get_it(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        outcomes = at_once(10, lambda: submit(client, ada).session_id)
        assert set(map(str, outcomes)) == set(faulty.chats)
        assert len(outcomes) == 10
        assert len(posts(faulty)) == len(faulty.chats) == ChatSession.objects.count() == 1
        assert AuditEntry.objects.count() == 1

    def test_ten_submissions_whose_one_answer_is_lost_still_all_get_the_one_session(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        faulty.script("POST", "/api/v1/chat", [stored_but_lost(faulty.create)])
        outcomes = at_once(10, lambda: submit(client, ada).session_id)
        assert set(map(str, outcomes)) == set(faulty.chats)
        assert len(posts(faulty)) == len(faulty.chats) == 1
        assert CreationAttempt.objects.get().state == State.ADOPTED
        assert AuditEntry.objects.filter(action=AuditAction.SESSION_ADOPTED).count() == 1

    def test_ten_different_forms_create_ten(self, faulty: FaultyServer, client: LlamaCloud, ada: User) -> None:
        tokens = iter([f"form-{number}" for number in range(10)])
        outcomes = at_once(10, lambda: submit(client, ada, next(tokens)).session_id)
        assert sorted(map(str, outcomes)) == sorted(faulty.chats)
        assert len(faulty.chats) == 10

    def test_those_who_wait_for_a_refused_submission_get_the_same_refusal(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User
    ) -> None:
        refusal = Answer(422, {"detail": [{"loc": ["body", "index_ids"], "msg": "unknown index"}]}, hold=0.6)
        faulty.script("POST", "/api/v1/chat", [refusal])
        outcomes = at_once(4, lambda: submit(client, ada))
        assert [type(outcome) for outcome in outcomes] == [Invalid] * 4
        assert {outcome.detail for outcome in outcomes if isinstance(outcome, Invalid)} == {
            "LlamaCloud answered 422: body.index_ids: unknown index"
        }
        assert len(posts(faulty)) == 1

    def test_a_submission_does_not_wait_for_another_one_for_ever(
        self, faulty: FaultyServer, client: LlamaCloud, ada: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(claims, "PATIENCE", 0.2)
        faulty.script("POST", "/api/v1/chat", [Answer(201, wire("ses-slow", index_ids=list(SOURCES)), hold=0.8)])
        outcomes = at_once(2, lambda: submit(client, ada).session_id)
        assert {type(outcome) for outcome in outcomes} == {str, StillCreating}
        assert submit(client, ada).session_id == "ses-slow"
        assert len(posts(faulty)) == 1

    def test_submissions_to_several_processes_create_one_session(self, faulty: FaultyServer, ada: User) -> None:
        # Held long enough for all of them to come while it is under way.
        made = Answer(201, wire("ses-held", index_ids=list(SOURCES)), hold=2.0)
        faulty.script("POST", "/api/v1/chat", [made])
        changes = {"LLAMA_CLOUD_BASE_URL": faulty.url, "LLAMA_CLOUD_API_KEY": KEY, "DATABASE_URL": database_url()}
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.chats.submitter", "form-1", str(ada.pk)],
                cwd=ROOT,
                env=environment(**changes),
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        answers = {child.communicate(timeout=60)[0].strip() for child in children}
        assert answers == {"ses-held"}
        assert len(posts(faulty)) == 1
