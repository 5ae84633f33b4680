"""The tolerance table, contract.md §14, row by row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from dashboard.upstream import (
    ChatDetail,
    ChatSummary,
    Index,
    JobMetadata,
    KnownEvent,
    Project,
    SessionCreate,
    Stop,
    Text,
    TextDelta,
    ToolResult,
    UnknownEvent,
    read_event,
)

SUMMARY: dict[str, Any] = {"session_id": "ses-1", "last_updated_at": "2026-04-22T12:34:41.342245"}


def test_sharing_may_be_missing_or_a_word_we_do_not_know() -> None:
    assert ChatSummary.model_validate(SUMMARY).shared_access is None
    assert ChatSummary.model_validate(SUMMARY | {"shared_access": "comment"}).shared_access == "comment"


@pytest.mark.parametrize(
    ("metadata", "status"),
    [({"status": "ready"}, "ready"), ({"status": "paused"}, "paused"), ({"status": 3}, None), ({}, None), (None, None)],
)
def test_an_index_status_is_any_word_or_unknown(metadata: Any, status: str | None) -> None:
    assert Index.model_validate({"id": "idx-1", "name": "A", "metadata": metadata}).status == status


def test_an_older_deployment_sends_less_of_an_index() -> None:
    index = Index.model_validate({"id": "idx-1", "name": "A", "metadata": "odd", "sync_in_progress": "perhaps"})
    assert (index.output_directory_id, index.sync_in_progress, index.metadata) == (None, None, None)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-04-22T12:34:41.342245", datetime(2026, 4, 22, 12, 34, 41, 342245, UTC)),
        ("2026-04-22T14:34:41+02:00", datetime(2026, 4, 22, 12, 34, 41, 0, UTC)),
        ("2026-04-22T12:34:41Z", datetime(2026, 4, 22, 12, 34, 41, 0, UTC)),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (1776861281, None),
        (None, None),
    ],
)
def test_times_are_read_as_utc_or_unknown(sent: Any, read: datetime | None) -> None:
    assert ChatSummary.model_validate(SUMMARY | {"last_updated_at": sent}).last_updated_at == read
    assert Project.model_validate({"id": "p", "name": "P", "created_at": sent}).created_at == read


def test_no_sources_and_an_empty_list_both_mean_unbound() -> None:
    assert ChatSummary.model_validate(SUMMARY | {"index_ids": None}).index_ids is None
    assert ChatSummary.model_validate(SUMMARY | {"index_ids": []}).index_ids is None
    assert ChatSummary.model_validate(SUMMARY | {"index_ids": ["b", "a"]}).index_ids == ("b", "a")


@pytest.mark.parametrize("job", [{}, [], "done", 7, {"turns": "many", "duration_ms": "long"}])
def test_any_job_metadata_but_null_means_the_session_has_run(job: Any) -> None:
    assert ChatSummary.model_validate(SUMMARY | {"job_metadata": job}).job_metadata is not None
    assert ChatSummary.model_validate(SUMMARY | {"job_metadata": None}).job_metadata is None


@pytest.mark.parametrize("turns", [True, -1, 2**40, None, "3", 1.5])
def test_odd_turns_fall_back_to_one(turns: Any) -> None:
    assert JobMetadata.model_validate({"turns": turns}).turns == 1


def test_odd_figures_are_unknown_and_never_too_big_to_store() -> None:
    job = JobMetadata.model_validate(
        {"turns": 0, "duration_ms": float("inf"), "total_input_tokens": 2**63, "total_output_tokens": -1}
    )
    assert (job.turns, job.duration_ms, job.total_input_tokens, job.total_output_tokens) == (0, None, None, None)


@pytest.mark.parametrize("odd", [{}, {"session_id": ""}, {"session_id": 5}, {"session_id": "s" * 256}, [], None])
def test_a_session_without_a_usable_id_is_refused(odd: Any) -> None:
    with pytest.raises(ValidationError):
        ChatSummary.model_validate(odd)


def test_the_json_is_kept_verbatim_with_fields_we_do_not_know() -> None:
    sent = SUMMARY | {"colour": {"deep": [1, None]}}
    assert ChatSummary.model_validate(sent).raw == sent
    assert read_event({"type": "text", "content": "x", "new": 1}).raw == {"type": "text", "content": "x", "new": 1}


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ({"type": "citation", "page": 3}, "citation"),
        ({"type": "text_delta"}, "text_delta"),
        ({"type": "text", "content": None}, "text"),
        ({"content": "no type"}, ""),
        ({"type": ["list"]}, ""),
    ],
)
def test_an_event_that_is_not_understood_is_kept_whole(sent: dict[str, Any], kind: str) -> None:
    event = read_event(sent)
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.raw) == (kind, sent)


@pytest.mark.parametrize(
    "sent",
    [
        {"type": "stop"},
        {"type": "stop", "usage": {}, "is_error": False, "error": "but it says something"},
        {"type": "stop", "usage": "odd", "is_error": "odd", "error": 5, "skipped_index_ids": "odd"},
        {"is_error": False, "usage": {"turns": 1}},
    ],
)
def test_an_end_is_an_end_however_little_or_odd_it_says(sent: dict[str, Any]) -> None:
    event = read_event(sent)
    assert isinstance(event, Stop)
    assert event.is_error is False


@pytest.mark.parametrize("result", ["text", ["a"], {"b": 1}, None, 7, "x" * 500_000])
def test_a_tool_may_answer_any_json(result: Any) -> None:
    event = read_event({"type": "tool_result", "call_id": "1", "name": "any", "result": result, "image_attachment": 3})
    assert isinstance(event, ToolResult)
    assert (event.result, event.image_attachment) == (result, None)


def test_a_history_keeps_every_row_in_order() -> None:
    rows = [{"type": "text_delta", "content": "a"}, "odd", {"type": "text", "content": "ab"}, {"type": "new"}]
    events = ChatDetail.model_validate(SUMMARY | {"events": rows}).events
    assert [type(event) for event in events] == [TextDelta, UnknownEvent, Text, UnknownEvent]
    assert events[1].raw == {"value": "odd"}


def test_a_null_history_is_empty_but_a_missing_one_is_not_taken_for_silence() -> None:
    assert ChatDetail.model_validate(SUMMARY | {"events": None}).events == ()
    for odd in (SUMMARY, SUMMARY | {"events": "none"}):
        with pytest.raises(ValidationError):
            ChatDetail.model_validate(odd)


def test_more_than_ten_sources_never_leave() -> None:
    with pytest.raises(ValidationError):
        SessionCreate(index_ids=[f"idx-{number}" for number in range(11)])


@pytest.mark.parametrize("kind", [*get_args(KnownEvent)], ids=lambda kind: kind.__name__)
def test_every_event_of_the_union_is_read_by_its_literal(kind: type[KnownEvent]) -> None:
    literal = kind.model_fields["type"].default
    fields: dict[str, Any] = {
        "content": "words",
        "call_id": "call-1",
        "name": "retrieve",
        "arguments": {},
        "result": None,
    }
    assert type(read_event({"type": literal, **fields})) is kind
