"""Answers that always bring a little and never come to an end."""

from __future__ import annotations

import time

import pytest

from dashboard.upstream import AnswerLost, stream
from tests.faulty import FaultyServer, event_stream
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
