"""The words with which an auditor finds sessions, each on both engines."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from dashboard.catalog.models import Index, Project
from dashboard.chats.filters import ChatSessionQuerySet
from dashboard.chats.models import ChatSession, SessionSource

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def make(session_id: str, *over: str, **columns: Any) -> ChatSession:
    now = timezone.now()
    session = ChatSession.objects.create(
        session_id=session_id, last_updated_at=now, first_seen_at=now, synced_at=now, **columns
    )
    for place, index_id in enumerate(over):
        SessionSource.objects.create(session=session, index_id=index_id, position=place)
    return session


def ids(found: ChatSessionQuerySet) -> list[str]:
    return sorted(found.values_list("session_id", flat=True))


def test_owned_by_some_people_and_by_nobody(ada: User, ben: User, cy: User) -> None:
    make("of-ada", owner=ada)
    make("of-ben", owner=ben)
    make("of-nobody")

    assert ids(ChatSession.objects.owned_by([ada, cy])) == ["of-ada"]
    assert ids(ChatSession.objects.owned_by(User.objects.filter(username="ben"))) == ["of-ben"]
    assert ids(ChatSession.objects.unowned()) == ["of-nobody"]


def test_over_any_source_finds_each_session_once() -> None:
    project = Project.objects.create(id="prj-1", name="Legal", synced_at=timezone.now())
    for pk in ("idx-a", "idx-b"):
        Index.objects.create(id=pk, project=project, name=pk, synced_at=timezone.now())
    make("both", "idx-a", "idx-b")
    make("one", "idx-b", "idx-c")
    make("other", "idx-c")

    assert ids(ChatSession.objects.over_any_source(["idx-a", "idx-b"])) == ["both", "one"]
    assert ids(ChatSession.objects.over_any_source(Index.objects.values("pk"))) == ["both", "one"]
    assert ids(ChatSession.objects.over_any_source([])) == []


def test_in_projects() -> None:
    make("one", project_id="prj-1")
    make("two", project_id="prj-2")

    assert ids(ChatSession.objects.in_projects(["prj-2", "prj-3"])) == ["two"]


def test_failed_with_words_of_the_message() -> None:
    failed = {"job_turns": 1, "job_is_error": True}
    make("credits", job_error="Out of credits", **failed)
    make("time", job_error="Timed out", **failed)
    make("recovering", job_error="Out of credits", is_running=True, **failed)

    assert ids(ChatSession.objects.failed_with("OUT OF")) == ["credits"]


def test_found_by_the_beginning_of_an_id_before_any_title() -> None:
    make("abc-1", generated_title="Leave")
    make("abc-2", generated_title="Travel")
    make("xyz", generated_title="About abc and leave")

    assert ids(ChatSession.objects.found_by("abc-1")) == ["abc-1"]
    assert ids(ChatSession.objects.found_by("abc")) == ["abc-1", "abc-2"]
    assert ids(ChatSession.objects.found_by("leave about")) == ["xyz"]
