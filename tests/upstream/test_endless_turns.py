"""Answers that always bring a little and never come to an end."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from dashboard.upstream import AnswerLost, Conflict, stream
from tests.faulty import Answer, FaultyServer, event_stream, failing, trickle
from tests.upstream.test_stream import ANSWER, DELTA, STOP, ask, frame, kinds, read

NOTHING = {kind: frame(kind, content="") for kind in ("text_delta", "thinking_delta")}


@pytest.mark.parametrize("nothing", NOTHING.values(), ids=NOTHING)
def test_deltas_without_a_word_are_no_events(faulty: FaultyServer, nothing: bytes) -> None:
    events, error = read(ask(faulty, event_stream(nothing, DELTA, (0.1, nothing), nothing + ANSWER + nothing, STOP)))
    assert (kinds(events), error) == (["text_delta", "text", "stop"], None)


@pytest.mark.parametrize("nothing", NOTHING.values(), ids=NOTHING)
def test_who_sends_nothing_but_deltas_without_a_word_is_not_waited_for(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch, nothing: bytes
) -> None:
    monkeypatch.setattr(stream, "NO_EVENT_SECONDS", 0.5)
    events, error = read(ask(faulty, event_stream(DELTA, *[(0.1, nothing)] * 40, STOP)))
    assert type(error) is AnswerLost
    assert kinds(events) == ["text_delta"]


def test_a_turn_that_says_a_word_now_and_then_is_not_followed_for_ever(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "TURN_SECONDS", 0.5)
    turn, started = ask(faulty, event_stream(*[(0.1, DELTA)] * 200, STOP)), time.monotonic()
    events, error = read(turn)
    assert type(error) is AnswerLost
    assert (error.outcome, turn.complete) == ("unknown", False)
    assert set(kinds(events)) == {"text_delta"}
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_head_that_comes_byte_by_byte_is_not_waited_for(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    """Wherever it is given up: in its first line, after it, or among the others, where it looks whole."""
    heads = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream"]
    before = sum(len(f"{line}\r\n") for line in heads[:lines])
    monkeypatch.setattr(stream, "HEAD_SECONDS", 0.05 * (before + 6))
    turn, started = ask(faulty, replace(event_stream(DELTA, STOP), head_every=0.05)), time.monotonic()
    with pytest.raises(AnswerLost) as caught, turn:
        pytest.fail("the head was taken for whole")
    assert (caught.value.outcome, caught.value.detail) == ("unknown", "no whole answer in time")
    assert time.monotonic() - started < 15
    assert len(faulty.requests) == 1


def test_a_refusal_is_one_however_slowly_its_words_come(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEAD_SECONDS", 0.5)
    slow, started = trickle(failing(409, "x" * 200).payload, every=0.1), time.monotonic()
    with pytest.raises(Conflict), ask(faulty, replace(slow, status=409)):
        pass
    assert time.monotonic() - started < 15


def test_an_answer_may_take_longer_than_its_head(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEAD_SECONDS", 2.0)
    events, error = read(ask(faulty, event_stream(DELTA, (2.5, ANSWER), STOP)))
    assert (kinds(events), error) == (["text_delta", "text", "stop"], None)


def test_the_time_for_the_head_begins_with_the_question(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEAD_SECONDS", 2.0)
    turn = ask(faulty, Answer(body=STOP, hold=0.2))
    time.sleep(2.2)
    assert kinds(read(turn)[0]) == ["stop"]
