"""What LlamaCloud says went wrong, as it is kept and shown: without the key and the addresses of machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from dashboard.upstream import ChatSummary, Event, LlamaCloud, SessionCreate, Stop, UnknownEvent
from dashboard.upstream.failures import DETAIL_LIMIT, FAULT_LIMIT
from tests.faulty import KEY, Answer, FaultyServer, event_stream
from tests.upstream.test_stream import ANSWER, DELTA, STOP, ask, frame, kinds, read

SIGNED = "see http://10.9.8.7:8443/x?X-Amz-Signature=abc"
READS: dict[str, Callable[[LlamaCloud], ChatSummary]] = {
    "detail": lambda client: client.chat("ses-1"),
    "summary": lambda client: client.chat_summary("ses-1"),
    "page": lambda client: client.chats().items[0],
    "listing": lambda client: client.all_chats().items[0],
    "creation": lambda client: client.create_chat(SessionCreate()),
}


def refused(faulty: FaultyServer) -> str:
    """What a machine behind LlamaCloud may say of the very address that Corral is configured with."""
    return f"dial tcp 127.0.0.1:{faulty.port}: refused {KEY}"


def kept(events: list[Event]) -> str:
    return json.dumps([event.raw for event in events])


@pytest.mark.parametrize(
    "sent",
    [
        f'event: error\ndata: {{"message": "{SIGNED}"}}',
        f'event: error\ndata: {{"type": "overloaded", "causes": [{{"{SIGNED}": ["{SIGNED}"]}}]}}',
        f'event: error\ndata: ["{SIGNED}"]',
        f"event: error\ndata: {SIGNED}",
        f'data: {{"type": "error", "error": {{"message": "{SIGNED}"}}}}',
        f'data: {{"error": {{"message": "{SIGNED}"}}}}',
        f'data: {{"type": "surprise", "error": "{SIGNED}"}}',
    ],
)
@pytest.mark.parametrize("end", [ANSWER + STOP, b""], ids=["answered", "failed"])
def test_an_event_that_tells_an_error_is_kept_without_addresses(faulty: FaultyServer, sent: str, end: bytes) -> None:
    events, _ = read(ask(faulty, event_stream(DELTA, f"{sent}\n\n".encode(), end)))

    assert isinstance(events[1], UnknownEvent)
    assert "see [address removed]" in kept(events[1:2])
    assert not any(secret in kept(events) for secret in ("10.9.8.7", "abc"))


def test_an_error_event_is_kept_in_its_own_shape(faulty: FaultyServer) -> None:
    said = {"type": "error", "code": 7, "retry": True, "cause": None, "message": SIGNED, "at": [1.5, SIGNED]}
    events, _ = read(ask(faulty, event_stream(f"data: {json.dumps(said)}\n\n".encode(), STOP)))

    cleaned = "see [address removed]"
    assert events[0].raw == said | {"message": cleaned, "at": [1.5, cleaned]}


@pytest.mark.parametrize("named", [True, False])
def test_of_an_error_event_of_very_many_words_a_line_is_kept(faulty: FaultyServer, named: bool) -> None:
    said = {"message": SIGNED} if named else {}
    long = frame("error", **said, stack=[SIGNED] * (FAULT_LIMIT // len(SIGNED)))
    events, _ = read(ask(faulty, event_stream(long)))

    assert kinds(events) == ["error", "stop"]
    assert set(events[0].raw) == {"type", "message"}
    assert "10.9.8.7" not in kept(events)
    assert len(cast(Stop, events[1]).error or "") <= DETAIL_LIMIT
    assert not named or cast(Stop, events[1]).error == "see [address removed]"


@pytest.mark.parametrize("typed", [True, False])
def test_a_stop_names_neither_the_configured_address_nor_the_key(faulty: FaultyServer, typed: bool) -> None:
    said = {"is_error": True, "error": refused(faulty)} | ({"type": "stop"} if typed else {})
    events, _ = read(ask(faulty, event_stream(DELTA, f"data: {json.dumps(said)}\n\n".encode())))

    assert cast(Stop, events[-1]).error == "dial tcp [removed]: refused [removed]"
    assert events[-1].raw == said | {"error": "dial tcp [removed]: refused [removed]"}


def test_an_odd_error_of_a_stop_is_kept_without_addresses(faulty: FaultyServer) -> None:
    odd = frame("stop", is_error=True, error={"at": refused(faulty), "see": [SIGNED]})
    events, _ = read(ask(faulty, event_stream(DELTA, odd)))

    assert cast(Stop, events[-1]).error is None
    assert events[-1].raw["error"] == {
        "at": "dial tcp [removed]: refused [removed]",
        "see": ["see [address removed]"],
    }


@pytest.mark.parametrize("read_by", READS.values(), ids=READS)
def test_the_last_run_names_neither_the_configured_address_nor_the_key(
    faulty: FaultyServer, read_by: Callable[[LlamaCloud], ChatSummary]
) -> None:
    row: dict[str, Any] = {
        "session_id": "ses-1",
        "last_updated_at": None,
        "generated_title": refused(faulty),
        "job_metadata": {"is_error": True, "error": refused(faulty), "turns": 2},
    }
    faulty.chats["ses-1"] = row
    faulty.script("POST", "/api/v1/chat", [Answer(201, row)])

    session = read_by(faulty.client())

    assert session.job_metadata is not None
    assert session.job_metadata.error == "dial tcp [removed]: refused [removed]"
    assert session.raw["job_metadata"] == {
        "is_error": True,
        "error": "dial tcp [removed]: refused [removed]",
        "turns": 2,
    }
    assert session.raw["generated_title"] == f"dial tcp 127.0.0.1:{faulty.port}: refused [removed]"


def test_a_history_is_read_as_the_stream_is(faulty: FaultyServer) -> None:
    faulty.chats["ses-1"] = {"session_id": "ses-1"}
    faulty.events["ses-1"] = [
        {"type": "user_input", "content": SIGNED},
        {"type": "error", "message": SIGNED},
        {"type": "stop", "is_error": True, "error": refused(faulty)},
    ]

    question, error, stop = (detail := faulty.client().chat("ses-1")).events

    assert question.raw["content"] == SIGNED
    assert error.raw["message"] == "see [address removed]"
    assert cast(Stop, stop).error == stop.raw["error"] == "dial tcp [removed]: refused [removed]"
    assert detail.raw["events"] == [event.raw for event in detail.events]


@pytest.mark.parametrize("odd", [None, "done", [], {}])
def test_odd_sessions_are_as_readable_as_before(faulty: FaultyServer, odd: Any) -> None:
    faulty.chats["ses-1"] = {"session_id": "ses-1", "job_metadata": odd}
    faulty.events["ses-1"] = cast(Any, [odd])

    detail = faulty.client().chat("ses-1")

    assert (detail.job_metadata is None) == (odd is None)
    assert len(detail.events) == 1
