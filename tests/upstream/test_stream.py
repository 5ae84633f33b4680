"""A turn as it happens: events, ends, silence and the way out."""

from __future__ import annotations

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from dashboard.upstream import (
    AnswerLost,
    ChatParams,
    Conflict,
    Event,
    NotFound,
    RedirectRefused,
    Sign,
    Stop,
    Text,
    TextDelta,
    ThinkingDelta,
    TurnStream,
    UnknownEvent,
    Unreachable,
    UnreadableAnswer,
    UpstreamError,
    UserInput,
    stream,
)
from dashboard.upstream.jsontext import REMOVED
from tests.faulty import KEY, Answer, FaultyServer, event_stream, failing, held, page, redirect, reset

PATH = "/api/v1/chat/ses-1/messages/stream"
ASKED = ChatParams(index_ids=["idx-1"], prompt="Why?")


def frame(kind: str, **fields: Any) -> bytes:
    name = "delta" if kind.endswith("_delta") else "message"
    return f"event: {name}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


QUESTION = frame("user_input", content="Why?")
DELTA = frame("text_delta", content="Beca")
SURPRISE = frame("surprise", content="Beca")
ANSWER = frame("text", content="Because.")
STOP = frame("stop", is_error=False, error=None, usage={"turns": 1})


def ask(faulty: FaultyServer, *answers: Answer, **options: Any) -> TurnStream:
    faulty.script("POST", PATH, answers)
    return faulty.client(**options).stream("ses-1", ASKED)


def read(turn: TurnStream) -> tuple[list[Event], UpstreamError | None]:
    """The events that arrived, and the error that ended them, if one did."""
    events: list[Event] = []
    with turn:
        try:
            events.extend(turn)  # keeps what arrived before an error
        except UpstreamError as error:
            return events, error
    return events, None


def kinds(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def test_a_turn_is_read_event_by_event_to_its_stop(faulty: FaultyServer) -> None:
    turn = ask(faulty, event_stream(b": ping\n\n", QUESTION, DELTA, ANSWER, STOP))
    events, error = read(turn)
    assert [type(event) for event in events] == [UserInput, TextDelta, Text, Stop]
    assert (error, turn.complete) == (None, True)


def test_the_question_carries_exactly_the_documented_body(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [event_stream(STOP)])
    params = ChatParams(index_ids=["b", "a"], prompt="Why?", require_all_indexes=True)
    read(faulty.client().stream("ses-1", params, project_id="pro-1"))
    (request,) = faulty.requests
    assert request.json() == {"index_ids": ["b", "a"], "prompt": "Why?", "require_all_indexes": True}
    assert request.query == {"project_id": ["pro-1"]}
    assert request.headers["accept"] == "text/event-stream, application/json"
    assert request.headers["accept-encoding"] == "identity"


def test_nothing_is_sent_before_the_with_block(faulty: FaultyServer) -> None:
    turn = faulty.client().stream("ses-1", ASKED)
    with pytest.raises(RuntimeError):
        next(iter(turn))
    assert faulty.requests == []
    with pytest.raises(NotFound):
        faulty.client().stream("..", ASKED)


def test_events_arrive_while_the_turn_runs(faulty: FaultyServer) -> None:
    with ask(faulty, event_stream(QUESTION, (2.0, STOP))) as turn:
        events, started = iter(turn), time.monotonic()
        assert isinstance(next(events), UserInput)
        assert time.monotonic() - started < 1.8
        assert isinstance(next(events), Stop)


def come(turn: TurnStream) -> list[str]:
    """The types of the events that are here by now."""
    events: list[Event] = []
    while (event := next(turn.events)) is not Sign.WAIT:
        if not isinstance(event, Sign):
            events.append(event)
    return kinds(events)


def test_whoever_waits_for_other_things_too_reads_as_far_as_the_answer_has_come(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [event_stream(QUESTION, (0.5, DELTA), (0.1, DELTA), (0.1, DELTA), (3.0, STOP))])
    with faulty.client().stream("ses-1", ASKED) as turn:
        started = time.monotonic()
        while not (first := come(turn)):
            time.sleep(0.01)
        assert come(turn) == []
        time.sleep(1.5)
        later = come(turn)
        assert time.monotonic() - started < 3
        assert (first, later) == (["user_input"], ["text_delta"])
        assert kinds(list(turn)) == ["stop"]


def test_deltas_of_a_kind_that_come_together_are_one_and_nothing_else_is(faulty: FaultyServer) -> None:
    strange = [
        frame("text_delta", content=5),
        frame("text_delta"),
        frame("text_delta", content="x", more=1),
        b'data: {"type": ["text_delta"], "content": "x"}\n\n',
    ]
    thought = frame("thinking_delta", content="Hm. ")
    sent = [DELTA, DELTA, thought, thought, DELTA, *strange, DELTA, SURPRISE, SURPRISE, DELTA, STOP, DELTA]

    with ask(faulty, event_stream(b"".join(sent))) as turn:
        events = list(turn)

    assert [(type(event).__name__, getattr(event, "content", None)) for event in events] == [
        ("TextDelta", "BecaBeca"),
        ("ThinkingDelta", "Hm. Hm. "),
        ("TextDelta", "Beca"),
        ("UnknownEvent", None),
        ("UnknownEvent", None),
        ("TextDelta", "x"),
        ("UnknownEvent", None),
        ("TextDelta", "Beca"),
        ("UnknownEvent", None),
        ("UnknownEvent", None),
        ("TextDelta", "Beca"),
        ("Stop", None),
    ]


def test_who_has_not_caught_up_is_not_told_to_wait(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [event_stream(QUESTION + SURPRISE * 20_000 + STOP)])
    with faulty.client().stream("ses-1", ASKED) as turn:
        next(iter(turn))
        # By now the rest is at the socket, as far as it goes in there: more than a buffer of it.
        time.sleep(1.0)
        assert Sign.WAIT not in [next(turn.events) for _ in range(500)]


@pytest.mark.parametrize("length", range(65_000, 66_000, 100))
def test_a_buffer_that_was_just_filled_hides_nothing(faulty: FaultyServer, length: int) -> None:
    padding = b":" + b" " * (length - len(DELTA)) + b"\n\n"
    faulty.script("POST", PATH, [event_stream(padding + DELTA, (0.2, STOP))])
    with faulty.client().stream("ses-1", ASKED) as turn:
        events = iter(turn)
        assert isinstance(next(events), TextDelta)
        assert come(turn) == []
        assert isinstance(next(events), Stop)


def test_silence_is_noticed_by_whoever_looks(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [event_stream(QUESTION, (60.0, STOP))])
    with faulty.client(stream_gap=0.5).stream("ses-1", ASKED) as turn:
        while not come(turn):
            time.sleep(0.01)
        assert come(turn) == []
        time.sleep(0.6)
        with pytest.raises(AnswerLost):
            next(turn.events)


def test_the_connection_of_a_finished_answer_serves_the_next_call(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [event_stream(QUESTION + STOP)], repeat=True)
    client = faulty.client()
    for _ in range(3):
        with client.stream("ses-1", ASKED) as turn:
            list(turn)
            # The last chunk may come a moment after the stop.
            time.sleep(0.2)
    client.projects()
    assert len({request.port for request in faulty.requests}) == 1


def test_the_connection_of_an_answer_that_was_left_is_closed(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [event_stream(QUESTION, (0.5, DELTA + STOP))], repeat=True)
    client = faulty.client()
    for _ in range(2):
        with client.stream("ses-1", ASKED) as turn:
            next(iter(turn))
    assert len({request.port for request in faulty.requests}) == 2


def test_a_stop_at_the_moment_of_the_end_does_not_hit_the_next_call(faulty: FaultyServer) -> None:
    """Between the connection's return to the others and the end of the block."""
    faulty.script("POST", PATH, [event_stream(QUESTION + STOP)])
    client = faulty.client()
    with client.stream("ses-1", ASKED) as turn:
        list(turn)
        time.sleep(0.2)
        assert turn._response is not None
        release = turn._response.raw.release_conn

        def release_and_stop() -> None:
            release()
            turn.close()

        turn._response.raw.release_conn = release_and_stop  # type: ignore[method-assign]
    assert client.projects().complete
    assert len({request.port for request in faulty.requests}) == 1


def test_an_answer_that_was_packed_on_the_way_is_read_too(faulty: FaultyServer) -> None:
    packed = gzip.compress(QUESTION + DELTA + STOP)
    half = len(packed) // 2
    answer = event_stream(packed[:half], (0.1, packed[half:]))
    faulty.script("POST", PATH, [replace(answer, headers={"Content-Encoding": "gzip"})])
    with faulty.client().stream("ses-1", ASKED) as turn:
        assert kinds(list(turn)) == ["user_input", "text_delta", "stop"]


def test_few_packed_bytes_that_stand_for_very_many_are_unpacked_a_little_at_a_time(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STREAM_BYTES", 2_000_000)
    packed = gzip.compress(QUESTION + b": " + b"x" * 50_000_000)
    faulty.script("POST", PATH, [replace(event_stream(packed), headers={"Content-Encoding": "gzip"})])
    seen: list[Event | Sign] = []
    with faulty.client().stream("ses-1", ASKED) as turn, pytest.raises(UnreadableAnswer, match="bytes in one turn"):
        seen.extend(turn.events)
    assert seen.count(Sign.GO_ON) >= 2_000_000 // stream.UNPACKED_BYTES - 1


def test_what_says_it_is_packed_and_is_not_is_no_answer(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [replace(event_stream(STOP), headers={"Content-Encoding": "gzip"})])
    assert type(read(faulty.client().stream("ses-1", ASKED))[1]) is UnreadableAnswer


def test_an_answer_packed_in_another_way_is_not_guessed_at(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [replace(event_stream(STOP), headers={"Content-Encoding": "br"})])
    with pytest.raises(UnreadableAnswer), faulty.client().stream("ses-1", ASKED):
        pass


def test_the_key_is_no_name_of_an_event(faulty: FaultyServer) -> None:
    events, _ = read(ask(faulty, event_stream(f"event: {KEY}\ndata: 1\n\n".encode(), STOP)))
    assert KEY not in json.dumps([event.raw for event in events])
    assert len(events) == 2


@pytest.mark.parametrize("close", [True, False])
def test_nothing_after_the_stop_counts(faulty: FaultyServer, close: bool) -> None:
    tail = [ANSWER, b"data: [DONE]\n\n"] if close else [(20.0, ANSWER)]
    turn, started = ask(faulty, event_stream(STOP, *tail)), time.monotonic()
    assert kinds(read(turn)[0]) == ["stop"]
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("kind", ["text/event-stream; charset=utf-8", "application/json", "text/plain", None])
def test_the_declared_type_does_not_matter_if_it_is_a_stream(faulty: FaultyServer, kind: str | None) -> None:
    assert kinds(read(ask(faulty, event_stream(ANSWER, STOP, content_type=kind)))[0]) == ["text", "stop"]


def test_done_markers_ids_and_retry_lines_are_tolerated(faulty: FaultyServer) -> None:
    noise = b"\xef\xbb\xbfretry: 10\nid: 1\n\n: hm\n\ndata: [DONE]\n\n"
    assert kinds(read(ask(faulty, event_stream(noise, STOP)))[0]) == ["stop"]


def test_a_body_without_chunks_is_read_as_it_comes(faulty: FaultyServer) -> None:
    assert kinds(read(ask(faulty, Answer(body=DELTA + STOP, declared=-1)))[0]) == ["text_delta", "stop"]


def test_a_stop_without_its_blank_line_is_a_stop(faulty: FaultyServer) -> None:
    turn = ask(faulty, event_stream(ANSWER, STOP.rstrip()))
    assert (kinds(read(turn)[0]), turn.complete) == (["text", "stop"], True)


def test_an_end_without_stop_is_told(faulty: FaultyServer) -> None:
    turn = ask(faulty, event_stream(QUESTION, DELTA, b'data: {"type": "text", "cont'))
    events, error = read(turn)
    assert kinds(events) == ["user_input", "text_delta"]
    assert (type(error), turn.complete) == (AnswerLost, False)


def test_a_cut_is_told_after_what_arrived(faulty: FaultyServer) -> None:
    cut = Answer(body=QUESTION + DELTA * 40, cut="body", content_type="text/event-stream")
    events, error = read(ask(faulty, cut))
    assert type(error) is AnswerLost
    assert error.outcome == "unknown"
    assert set(kinds(events)) <= {"user_input", "text_delta"}


def test_what_is_not_understood_is_kept(faulty: FaultyServer) -> None:
    odd = b'data: not json\n\nevent: news\ndata: [1]\n\ndata: {"type": "citation", "page": 3}\n\n'
    events, _ = read(ask(faulty, event_stream(odd, STOP)))
    assert [event.raw for event in events[:3]] == [
        {"event": "message", "data": "not json"},
        {"event": "news", "data": [1]},
        {"type": "citation", "page": 3},
    ]
    assert all(isinstance(event, UnknownEvent) for event in events[:3])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"detail": "Model overloaded"}', "Model overloaded"),
        ('{"type": "error", "message": "Model overloaded"}', "Model overloaded"),
        ("Model overloaded", "Model overloaded"),
        ('"Model overloaded"', "Model overloaded"),
        ("{}", "LlamaCloud reported an error without saying which."),
        (f"bad key {KEY} at https://x.example/", "bad key [removed] at [address removed]"),
    ],
)
@pytest.mark.parametrize("blank", ["\n\n", "\n"])
def test_an_error_event_that_ends_the_stream_is_an_error_stop(
    faulty: FaultyServer, data: str, words: str, blank: str
) -> None:
    turn = ask(faulty, event_stream(DELTA, f"event: error\ndata: {data}{blank}".encode()))
    events, error = read(turn)
    if blank == "\n" and not data.startswith(("{", '"')):
        # Without its blank line, text may be cut anywhere.
        assert type(error) is AnswerLost
        return
    assert kinds(events) == ["text_delta", "error", "stop"]
    last = events[-1]
    assert isinstance(last, Stop)
    assert (last.is_error, last.error, turn.complete) == (True, words, True)
    assert not any(KEY in json.dumps(event.raw) for event in events)


def test_an_error_event_followed_by_the_answer_is_only_an_event(faulty: FaultyServer) -> None:
    events, _ = read(ask(faulty, event_stream(b"event: error\ndata: hiccup\n\n", ANSWER, STOP)))
    last = events[-1]
    assert kinds(events) == ["error", "text", "stop"]
    assert isinstance(last, Stop)
    assert last.is_error is False


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failing(409, "Another turn is running."), Conflict),
        (failing(404), NotFound),
        (page(502), UpstreamError),
        (page(200), UnreadableAnswer),
        (redirect("/elsewhere", 307), RedirectRefused),
        (reset(), AnswerLost),
        (Answer(204, content_type=None), AnswerLost),
        (Answer(body=b"  \n <html>", content_type="text/plain"), UnreadableAnswer),
        (Answer(body={"detail": "odd"}), UnreadableAnswer),
        (event_stream(b"\n", b"<html>"), UnreadableAnswer),
    ],
)
def test_what_is_no_stream_is_an_error_and_the_question_is_sent_once(
    faulty: FaultyServer, answer: Answer, kind: type[UpstreamError]
) -> None:
    turn = ask(faulty, answer)
    with pytest.raises(kind), turn:
        list(turn)
    assert len(faulty.requests) == 1


def test_a_refusal_carries_the_words_of_upstream(faulty: FaultyServer) -> None:
    with pytest.raises(Conflict) as caught, ask(faulty, failing(409, "Another turn is running.")):
        pass
    assert caught.value.detail == "LlamaCloud answered 409: Another turn is running."


@pytest.mark.parametrize(
    "answer", [held(20, event_stream(STOP)), event_stream((20.0, STOP)), event_stream(DELTA, (20.0, STOP))]
)
def test_silence_beyond_the_gap_is_a_lost_answer(faulty: FaultyServer, answer: Answer) -> None:
    turn, started = ask(faulty, answer, stream_gap=0.4), time.monotonic()
    with pytest.raises(AnswerLost), turn:
        list(turn)
    assert time.monotonic() - started < 15


def test_keep_alives_keep_a_slow_turn_alive(faulty: FaultyServer) -> None:
    # Longer than the gap as a whole, and each pause so much shorter that a machine may stand still for a while.
    slow = event_stream(*[(0.4, b": ping\n\n")] * 11, STOP)
    assert kinds(read(ask(faulty, slow, stream_gap=4.0))[0]) == ["stop"]


@pytest.mark.parametrize(
    "answer", [held(20, event_stream(STOP)), event_stream(DELTA, (20.0, STOP))], ids=["head", "body"]
)
def test_anyone_can_leave_while_it_is_silent(faulty: FaultyServer, answer: Answer) -> None:
    turn, started = ask(faulty, answer), time.monotonic()
    leave = threading.Timer(0.3, turn.close)
    leave.start()
    with pytest.raises(AnswerLost), turn:
        list(turn)
    leave.join()
    assert time.monotonic() - started < 15
    assert not turn.complete


def test_a_turn_closed_before_it_began_asks_nothing(faulty: FaultyServer) -> None:
    turn = ask(faulty, event_stream(STOP))
    turn.close()
    with pytest.raises(Unreachable), turn:
        list(turn)
    assert faulty.requests == []


def test_a_body_of_no_declared_length_that_we_left_is_not_taken_for_ended(faulty: FaultyServer) -> None:
    with ask(faulty, Answer(body=DELTA, declared=-1)) as turn:
        events = iter(turn)
        next(events)
        turn.close()
        with pytest.raises(AnswerLost):
            next(events)


def test_a_turn_without_end_is_ended(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STREAM_BYTES", 10 * len(DELTA))
    events, error = read(ask(faulty, event_stream(*[DELTA] * 30, STOP)))
    assert type(error) is UnreadableAnswer
    assert len(events) <= 10


def test_who_only_keeps_the_connection_open_is_not_waited_for(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "NO_EVENT_SECONDS", 0.5)
    events, error = read(ask(faulty, event_stream(DELTA, *[(0.1, b": still here\n\n")] * 40, STOP)))
    assert type(error) is AnswerLost
    assert kinds(events) == ["text_delta"]


def test_what_went_wrong_is_told_without_addresses(faulty: FaultyServer) -> None:
    failed = frame("stop", is_error=True, error="cannot reach http://10.0.0.7:8080/v1 now")
    events, _ = read(ask(faulty, event_stream(DELTA, failed)))
    assert cast(Stop, events[-1]).error == "cannot reach [address removed] now"


def test_many_turns_run_beside_each_other_and_beside_reads(faulty: FaultyServer) -> None:
    faulty.script("POST", PATH, [event_stream(DELTA, *[(0.05, DELTA)] * 10, STOP)], repeat=True)
    client = faulty.client(pool_size=4, read_budget=20)
    with ThreadPoolExecutor(20) as threads:
        turns = [threads.submit(read, client.stream("ses-1", ASKED)) for _ in range(20)]
        assert client.projects().complete
        assert [len(turn.result()[0]) for turn in turns] == [12] * 20


def test_a_turn_shows_nothing_when_printed(faulty: FaultyServer) -> None:
    assert repr(faulty.client().stream("ses-1", ASKED)) == "<TurnStream>"


@pytest.mark.parametrize("odd", [{"index_ids": []}, {"prompt": ""}, {"prompt": "x" * 1001}])
def test_a_question_outside_the_contract_is_never_made(odd: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatParams.model_validate({"index_ids": ["idx-1"], "prompt": "Why?"} | odd)
    assert ChatParams(index_ids=["idx-1"], prompt="🦙" * 1000)


@pytest.mark.parametrize("kind", ["text_delta", "thinking_delta"])
@pytest.mark.parametrize("size", [1, 3, len(KEY) - 1])
def test_a_key_spread_over_several_events_is_none_either(faulty: FaultyServer, kind: str, size: int) -> None:
    said = f"so {KEY[:7]} is {KEY}, lla"
    parts = [frame(kind, content=said[start : start + size]) for start in range(0, len(said), size)]

    events, error = read(ask(faulty, event_stream(QUESTION, *parts, ANSWER, STOP)))

    assert error is None
    assert kinds(events)[-2:] == ["text", "stop"]
    assert "".join(str(getattr(event, "content", "")) for event in events if event.type == kind) == said.replace(
        KEY, REMOVED
    )


def test_what_may_begin_a_key_is_read_when_the_answer_is_cut_or_turns_to_something_else(faulty: FaultyServer) -> None:
    begins = KEY[:5]
    parts = [frame("thinking_delta", content=begins), frame("text_delta", content=begins)]

    events, error = read(ask(faulty, event_stream(*parts)))

    assert isinstance(error, AnswerLost)
    assert events == [ThinkingDelta(content=begins), TextDelta(content=begins)]


@pytest.mark.parametrize(
    "other",
    [
        frame("thinking_delta", content="hm"),
        frame("thinking", content="hm"),
        frame("tool_call", call_id="1", name="search"),
        frame("surprise"),
    ],
    ids=["a thought", "a whole thought", "a step", "the unknown"],
)
def test_a_key_cut_in_two_by_something_else_is_none_either(faulty: FaultyServer, other: bytes) -> None:
    first, thought, rest = (
        frame("text_delta", content=f"see {KEY[:9]}"),
        other,
        frame("text_delta", content=f"{KEY[9:]} so"),
    )

    events, _ = read(ask(faulty, event_stream(QUESTION, first, thought, rest, ANSWER, STOP)))

    assert "".join(event.content for event in events if isinstance(event, TextDelta)) == f"see {REMOVED} so"
