"""From LlamaCloud's words to our columns, and what a refresh must leave alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.chats.store import columns_from, store_one, store_summaries
from dashboard.upstream import ChatSummary
from tests.chats.helpers import JOB, summary, wire, without

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def stored(**changes: Any) -> ChatSession:
    return store_one(summary(**changes), project_id="prj-1", now=NOW)


def test_every_column_of_the_summary_is_kept() -> None:
    raw = wire("ses-a", generated_title="What of Q3?...", job_metadata=JOB)
    session = store_one(ChatSummary.model_validate(raw), project_id="prj-1", now=NOW)
    assert session.session_id == "ses-a"
    assert session.project_id == "prj-1"
    assert session.generated_title == "What of Q3?..."
    assert session.shared_access == "read_only"
    assert session.is_bound is True
    assert session.last_updated_at == datetime(2026, 4, 22, 12, 34, 41, 342245, tzinfo=UTC), "naive is UTC"
    assert session.job_turns == 3
    assert session.job_duration_ms == 5210.4
    assert session.job_is_error is False
    assert session.job_error == ""
    assert session.job_input_tokens == 1843
    assert session.job_output_tokens == 212
    assert session.job_export_config_ids == ["exc-1", "exc-2"]
    assert session.raw == raw
    assert (session.first_seen_at, session.synced_at, session.gone_at) == (NOW, NOW, None)


def test_a_failed_run_is_kept_with_its_words() -> None:
    session = stored(job_metadata={**JOB, "is_error": True, "error": "index is gone"})
    assert (session.job_is_error, session.job_error) == (True, "index is gone")


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"shared_access": None}, "shared_access", ""),
        ({"shared_access": "organisation"}, "shared_access", "organisation"),
        ({"shared_access": 5}, "shared_access", ""),
        ({"shared_access": "x" * 300}, "shared_access", "x" * 32),
        ({"generated_title": None}, "generated_title", ""),
        ({"generated_title": ["odd"]}, "generated_title", ""),
        ({"index_ids": None}, "is_bound", False),
        ({"index_ids": []}, "is_bound", False),
        ({"index_ids": ["a"]}, "is_bound", True),
        (
            {"last_updated_at": "2026-04-22T14:34:41+02:00"},
            "last_updated_at",
            datetime(2026, 4, 22, 12, 34, 41, 0, UTC),
        ),
        ({"last_updated_at": "yesterday"}, "last_updated_at", NOW),
        ({"last_updated_at": None}, "last_updated_at", NOW),
        ({"job_metadata": None}, "job_turns", None),
        ({"job_metadata": None}, "job_is_error", None),
        ({"job_metadata": {}}, "job_turns", 1),
        ({"job_metadata": {}}, "job_is_error", False),
        ({"job_metadata": {}}, "job_duration_ms", 0.0),
        ({"job_metadata": {}}, "job_input_tokens", None),
        ({"job_metadata": {}}, "job_export_config_ids", None),
        ({"job_metadata": "odd"}, "job_turns", 1),
        ({"job_metadata": {"turns": "many", "duration_ms": "long"}}, "job_duration_ms", None),
        ({"job_metadata": {"total_input_tokens": -5}}, "job_input_tokens", None),
        ({"job_metadata": {"total_output_tokens": 2**80}}, "job_output_tokens", None),
        ({"job_metadata": {"error": "a warning", "is_error": False}}, "job_error", "a warning"),
        ({"job_metadata": {"export_config_ids": []}}, "job_export_config_ids", None),
        ({"job_metadata": {"export_config_ids": "exc-1"}}, "job_export_config_ids", None),
    ],
)
def test_what_is_absent_null_or_odd_is_kept_as_unknown(changes: dict[str, Any], column: str, value: object) -> None:
    session = stored(**changes)
    assert getattr(session, column) == value
    assert session.raw == wire("ses-a", **changes), "verbatim all the same"


def test_a_deployment_without_the_newer_fields_is_read() -> None:
    raw = {"session_id": "ses-a", "new_field": {"deep": [1]}}
    session = store_one(ChatSummary.model_validate(raw), project_id="", now=NOW)
    assert (session.shared_access, session.is_bound, session.has_run) == ("", False, False)
    assert session.raw == raw


def test_no_local_column_comes_from_upstream() -> None:
    local = {"title", "owner", "follows", "questions", "is_running", "history_of", "first_seen_at"}
    assert not local & set(columns_from(summary(), now=NOW))


def test_a_refresh_never_overwrites_what_only_this_team_knows(ada: User) -> None:
    before = stored()
    mine = store_one(summary("ses-b"), project_id="prj-1", now=NOW, owner=ada, follows=before, questions=2)
    ChatSession.objects.filter(pk=mine.pk).update(title="Ours")
    later = NOW + timedelta(hours=1)
    store_summaries([summary("ses-b", generated_title="Theirs", job_metadata=JOB)], project_id="prj-2", now=later)
    mine.refresh_from_db()
    assert (mine.title, mine.owner, mine.follows, mine.questions) == ("Ours", ada, before, 2)
    assert (mine.first_seen_at, mine.synced_at) == (NOW, later)
    assert (mine.generated_title, mine.job_turns, mine.project_id) == ("Theirs", 3, "prj-2")
    assert mine.display_title == "Ours"


def test_sources_keep_llamaclouds_order_each_once() -> None:
    session = stored(index_ids=["c", "a", "b", "a", "x" * 256])
    assert list(session.sources.values_list("index_id", "position")) == [("c", 0), ("a", 1), ("b", 2)]


def test_of_more_sources_than_any_session_has_some_are_kept() -> None:
    session = stored(index_ids=[f"idx-{number}" for number in range(40_000)])
    assert session.sources.count() == 100


@pytest.mark.parametrize("then", [["a"], ["b", "a"], ["a", "b", "c"], None])
def test_sources_follow_what_llamacloud_tells_now(then: list[str] | None) -> None:
    stored(index_ids=["a", "b"])
    store_one(summary("ses-other", index_ids=["a", "z"]), project_id="prj-1", now=NOW)
    session = store_one(summary(index_ids=then), project_id="prj-1", now=NOW + timedelta(seconds=1))
    assert list(session.sources.values_list("index_id", flat=True)) == (then or [])
    other = ChatSession.objects.get(session_id="ses-other")
    assert list(other.sources.values_list("index_id", flat=True)) == ["a", "z"]


def test_unchanged_sources_are_left_alone() -> None:
    before = list(stored(index_ids=["a", "b"]).sources.values_list("pk", flat=True))
    after = store_one(summary(index_ids=["a", "b"]), project_id="prj-1", now=NOW + timedelta(seconds=1))
    assert list(after.sources.values_list("pk", flat=True)) == before


def test_a_session_that_is_listed_again_is_no_longer_gone() -> None:
    ChatSession.objects.filter(pk=stored().pk).update(gone_at=NOW)
    assert store_one(summary(), project_id="prj-1", now=NOW + timedelta(seconds=1)).gone_at is None


def test_a_list_asked_for_before_a_newer_reading_changes_nothing() -> None:
    stored(generated_title="New")
    ChatSession.objects.update(gone_at=NOW)
    store_summaries([summary(), summary("ses-b")], project_id="prj-9", now=NOW - timedelta(seconds=1))
    session = ChatSession.objects.get(session_id="ses-a")
    assert (session.generated_title, session.gone_at, session.project_id) == ("New", NOW, "prj-1")
    assert ChatSession.objects.filter(session_id="ses-b").exists(), "the others are kept"


def test_a_row_twice_on_one_page_is_one_session() -> None:
    store_summaries([summary(), summary(generated_title="Later")], project_id="", now=NOW)
    assert ChatSession.objects.get().generated_title == "Later"


def test_an_empty_page_is_no_work() -> None:
    store_summaries([], project_id="")
    assert not ChatSession.objects.exists()


def test_the_number_of_queries_does_not_grow_with_the_page() -> None:
    def queries(number: int, now: datetime) -> int:
        rows = [summary(f"ses-{number}-{n}", index_ids=["a", f"b{n}"]) for n in range(number)]
        with CaptureQueriesContext(connection) as captured:
            store_summaries(rows, project_id="", now=now)
        return len(captured)

    assert queries(30, NOW) == queries(2, NOW)
    assert queries(30, NOW + timedelta(1)) == queries(2, NOW + timedelta(1))
    assert queries(100, NOW) <= queries(2, NOW) + 4, "written in four batches"


@pytest.mark.postgres
@pytest.mark.parametrize("hostile", ["\u202eevil\u202c", "<script>alert(1)</script>", "a\u200bb" * 4000, "😀"])
def test_hostile_text_is_kept_as_it_is(hostile: str) -> None:
    session = stored(generated_title=hostile, job_metadata={**JOB, "error": hostile}, extra=hostile)
    session.refresh_from_db()
    assert (session.generated_title, session.raw["extra"], session.job_error) == (hostile, hostile, hostile)


@pytest.mark.postgres
def test_a_missing_last_activity_falls_back_to_now() -> None:
    raw = without(wire("ses-a"), "last_updated_at")
    session = store_one(ChatSummary.model_validate(raw), project_id="")
    assert timezone.now() - session.last_updated_at < timedelta(minutes=1)


@pytest.mark.django_db
def test_a_refresh_overwrites_every_column_that_comes_from_the_summary() -> None:
    job: dict[str, Any] = {"turns": 1, "duration_ms": 5.0, "is_error": False, "error": None, "total_input_tokens": 1}
    job |= {"total_output_tokens": 2, "export_config_ids": ["exc-1"]}
    first: dict[str, Any] = {"session_id": "ses-a", "last_updated_at": "2026-04-22T12:00:00", "shared_access": "query"}
    first |= {"generated_title": "One", "index_ids": ["idx-1"], "job_metadata": job}
    again: dict[str, Any] = {"turns": 2, "duration_ms": 6.0, "is_error": True, "error": "no", "total_input_tokens": 3}
    again |= {"total_output_tokens": 4, "export_config_ids": ["exc-2"]}
    second: dict[str, Any] = {
        "session_id": "ses-a",
        "last_updated_at": "2026-04-23T12:00:00",
        "shared_access": "read_only",
    }
    second |= {"generated_title": "Two", "index_ids": None, "job_metadata": again}

    before = columns_from(ChatSummary.model_validate(first), now=NOW)
    wanted = columns_from(ChatSummary.model_validate(second), now=NOW)
    assert [name for name in wanted if wanted[name] == before[name]] == [], "every column takes another value"
    store_one(ChatSummary.model_validate(first), project_id="prj-1")
    stored = store_one(ChatSummary.model_validate(second), project_id="prj-1")

    assert {name: getattr(stored, name) for name in wanted} == wanted
