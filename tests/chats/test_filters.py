"""The words sessions are asked for with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from django.contrib.auth.models import AnonymousUser, User

from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.chats.store import store_one
from tests.chats.helpers import JOB, summary

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def at(session_id: str, seconds: int = 0, **columns: object) -> ChatSession:
    session = store_one(summary(session_id), project_id="prj-1", now=NOW)
    ChatSession.objects.filter(pk=session.pk).update(last_updated_at=NOW + timedelta(seconds=seconds), **columns)
    session.refresh_from_db()
    return session


def test_everyone_who_is_signed_in_and_nobody_else_sees_sessions(ada: User, cy: User) -> None:
    session = at("ses-a")
    assert list(ChatSession.objects.visible_to(ada)) == list(ChatSession.objects.visible_to(cy)) == [session]
    assert not ChatSession.objects.visible_to(AnonymousUser())
    ada.is_active = False
    assert not ChatSession.objects.visible_to(ada)


def test_older_and_newer_split_the_list_at_every_place_also_among_equal_times() -> None:
    for number, seconds in enumerate([5, 5, 5, 3, 9, 9, 1]):
        at(f"ses-{number}", seconds)
    rows = list(ChatSession.objects.newest_first())
    assert [row.last_updated_at for row in rows] == sorted((row.last_updated_at for row in rows), reverse=True)
    for place, row in enumerate(rows):
        older = ChatSession.objects.older_than(row.last_updated_at, row.pk).newest_first()
        newer = ChatSession.objects.newer_than(row.last_updated_at, row.pk).newest_first()
        assert list(older) == rows[place + 1 :]
        assert list(newer) == rows[:place]


def test_titles_are_searched_as_they_are_shown() -> None:
    titles = ["", "Budget 100%", "board_meeting", "ÉTÉ notes"]
    generated = ["", "What of the budget?", "Untitled thoughts"]
    for number, (title, theirs) in enumerate(product(titles, generated)):
        at(f"ses-{number}", title=title, generated_title=theirs)
    rows = list(ChatSession.objects.all())
    for words in [
        "budget",
        "BUDGET",
        "budget the",
        "the budget",
        "100%",
        "%",
        "_",
        "untitled",
        "session",
        "zzz",
        "",
        " ",
    ]:
        expected = {row for row in rows if all(word.lower() in row.display_title.lower() for word in words.split())}
        assert set(ChatSession.objects.titled_like(words)) == expected, words


def test_sessions_are_found_by_source_each_once() -> None:
    both = store_one(summary("ses-both", index_ids=["a", "b"]), project_id="")
    one = store_one(summary("ses-one", index_ids=["b"]), project_id="")
    store_one(summary("ses-none", index_ids=None), project_id="")
    assert list(ChatSession.objects.over_source("a")) == [both]
    assert set(ChatSession.objects.over_source("b")) == {both, one}
    assert not ChatSession.objects.over_source("c")
    assert list(ChatSession.objects.over_any_source(["a", "b"]).order_by("pk")) == [both, one]
    assert not ChatSession.objects.over_any_source([])


def test_sessions_are_found_by_project_owner_error_and_id(ada: User, ben: User) -> None:
    mine = at("ses-abc", owner=ada)
    broken = store_one(
        summary("ses-xyz", job_metadata={**JOB, "is_error": True, "error": "Index is gone"}), project_id=""
    )
    warned = store_one(summary("ses-warned", job_metadata={**JOB, "error": "index is gone"}), project_id="")
    named = at("ses-titled", title="About ses-abc and more")
    assert set(ChatSession.objects.in_projects(["prj-1"])) == {mine, named}
    assert list(ChatSession.objects.owned_by([ada, ben])) == [mine]
    assert set(ChatSession.objects.unowned()) == {broken, warned, named}
    assert list(ChatSession.objects.failed_with("index is")) == [broken]
    assert list(ChatSession.objects.found_by("ses-abc")) == [mine]
    assert list(ChatSession.objects.found_by("more about")) == [named]


def test_a_list_does_not_load_the_verbatim_json() -> None:
    at("ses-a")
    assert {"raw", "job_export_config_ids"} <= ChatSession.objects.without_json().get().get_deferred_fields()


def test_rows_are_called_what_an_administrator_looks_for(ada: User) -> None:
    session = at("ses-a", title="Ours")
    attempt = CreationAttempt.objects.create(token="form-1", actor=ada, started_at=NOW, state="unknown")
    assert str(session) == "Ours"
    assert str(session.sources.get()) == "idx-reports"
    assert str(attempt) == "no answer, outcome not known (form-1)"
