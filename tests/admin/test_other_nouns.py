"""Sources, attempts, the catalog and background work."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.catalog.models import Index, Project
from dashboard.chats.models import ChatSession, CreationAttempt, SessionSource
from dashboard.jobs.models import Job
from tests.admin.conftest import HOSTILE, MakeSession, listed, page


@pytest.fixture
def bound(make_session: MakeSession, handbook: Index) -> ChatSession:
    make_session("chat-2", over=("idx-b",))
    return make_session("chat-1", over=("idx-handbook", "idx-a"))


@pytest.mark.usefixtures("bound")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "idx-a"}, {"idx-a"}),
        ({"q": "idx"}, set()),
        ({"q": "chat-1"}, {"idx-handbook", "idx-a"}),
        ({"source": "staff"}, {"idx-handbook"}),
        ({"source": "idx-b"}, {"idx-b"}),
    ],
)
def test_sources_are_found_by(admin_client: Client, query: dict[str, str], found: set[str]) -> None:
    assert listed(admin_client, "sessionsource", **query) == found


def test_a_source_leads_to_its_session_and_index(admin_client: Client, bound: ChatSession) -> None:
    source = SessionSource.objects.get(index_id="idx-handbook")
    html = page(admin_client, f"dashboard/sessionsource/{source.pk}/change/")

    assert f'href="/admin/dashboard/chatsession/{bound.pk}/change/"' in html
    assert 'href="/admin/dashboard/index/idx-handbook/change/"' in html
    assert "About chat-1" in html
    assert "Audit entries" not in html.split("object-tools")[-1]


@pytest.fixture
def attempts(make_session: MakeSession, ada: User, cy: User, now: datetime) -> list[CreationAttempt]:
    made = make_session("chat-1")
    attempt = CreationAttempt.objects.create
    return [
        attempt(token="tok-1", actor=ada, state="created", session=made, index_ids=["idx-a", "idx-b"], started_at=now),
        attempt(
            token="tok-2", actor=cy, state="refused", error_code="quota", error_detail="Plan: 5\nleft: 0",
            confirmed_not_ready=["idx-c"], follows=made, started_at=now - timedelta(days=9),
        ),
        attempt(token="tok-3", state="unknown", started_at=now),
    ]  # fmt: skip


@pytest.mark.usefixtures("attempts")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "tok-2"}, ["tok-2"]),
        ({"q": "chat-1"}, ["tok-1"]),
        ({"q": "tok"}, []),
        ({"actor": "ada"}, ["tok-1"]),
        ({"actor": "(nobody)"}, ["tok-3"]),
        ({"state": "unknown"}, ["tok-3"]),
        ({"error": "quo"}, ["tok-2"]),
        ({}, ["tok-3", "tok-2", "tok-1"]),
    ],
)
def test_attempts_are_found_by(admin_client: Client, query: dict[str, str], found: list[str]) -> None:
    answer = admin_client.get("/admin/dashboard/creationattempt/", query)

    assert [attempt.token for attempt in answer.context["cl"].result_list] == found


def test_attempts_are_found_by_day(admin_client: Client, attempts: list[CreationAttempt], now: datetime) -> None:
    found = listed(admin_client, "creationattempt", started_at_to=str((now - timedelta(days=5)).date()))

    assert found == {str(attempts[1])}


def test_an_attempt_tells_what_was_chosen_and_what_came_of_it(
    admin_client: Client, attempts: list[CreationAttempt]
) -> None:
    made, refused, _ = (page(admin_client, f"dashboard/creationattempt/{attempt.pk}/change/") for attempt in attempts)

    assert "idx-a, idx-b" in made
    assert "About chat-1" in made
    assert "None: sources are chosen with each question" in refused
    for words in ("idx-c", "Plan: 5\nleft: 0", "quota", "About chat-1", "refused, nothing was created"):
        assert words in refused


@pytest.mark.parametrize(
    ("noun", "query", "found"),
    [
        ("index", {"q": "travel"}, {"Staff handbook"}),
        ("index", {"q": "idx-old"}, {"Old"}),
        ("index", {"project": "prj-1"}, {"Staff handbook", "Old"}),
        ("index", {"project": "lega"}, {"Staff handbook", "Old"}),
        ("index", {"project": "sales"}, set()),
        ("index", {"presence": "present"}, {"Staff handbook"}),
        ("index", {"presence": "gone"}, {"Old"}),
        ("project", {"q": "leg"}, {"Legal"}),
        ("project", {"presence": "gone"}, set()),
    ],
)
def test_the_catalog_is_searched(
    admin_client: Client, handbook: Index, now: datetime, noun: str, query: dict[str, str], found: set[str]
) -> None:
    Index.objects.create(id="idx-old", project_id="prj-1", name="Old", gone_at=now, synced_at=now)

    assert listed(admin_client, noun, **query) == found


def test_an_index_tells_its_state_and_leads_to_its_sessions(admin_client: Client, bound: ChatSession) -> None:
    html = page(admin_client, "dashboard/index/idx-handbook/change/")

    for words in ("Staff handbook", "Leave and travel", "Legal", "Ready", "Its documents can be searched", "\\u202e"):
        assert words in html
    assert 'href="/admin/dashboard/chatsession/?source=idx-handbook"' in html
    assert listed(admin_client, "chatsession", source="idx-handbook") == {"About chat-1"}


def test_a_project_leads_to_its_sessions(admin_client: Client, bound: ChatSession) -> None:
    assert 'href="/admin/dashboard/chatsession/?project=prj-1"' in page(admin_client, "dashboard/project/prj-1/change/")
    assert listed(admin_client, "chatsession", project="prj-1") == {"About chat-1", "About chat-2"}


def test_a_job_tells_what_stopped_it(admin_client: Client, now: datetime) -> None:
    job = Job.objects.create(name="catalog", next_run_at=now, last_error=HOSTILE, cursor={"token": "page-7"})

    assert "&lt;script&gt;" in page(admin_client, "dashboard/job/")
    html = page(admin_client, f"dashboard/job/{job.pk}/change/")
    assert "page-7" in html
    assert "<script>alert" not in html


def test_hostile_names_stay_text(admin_client: Client, handbook: Index) -> None:
    Index.objects.update(name=HOSTILE, description=HOSTILE)
    Project.objects.update(name=HOSTILE)

    for url in ("index/", "index/idx-handbook/change/", "project/", "project/prj-1/change/"):
        html = page(admin_client, f"dashboard/{url}")
        assert "<script>alert" not in html
        assert "\u202e" not in html
