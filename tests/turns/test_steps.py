"""The steps behind an answer, unfolded: what a tool was told and what it found, to be read by people."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from dashboard.chats.models import ChatSession
from dashboard.turns.answer import Entry
from dashboard.turns.models import Turn, TurnState
from dashboard.web.live import ARGUMENTS, PASSAGES, steps_html
from dashboard.web.reader import Reader
from tests.faulty import FaultyServer
from tests.turns.conftest import ended, put, question, result, script, sse, stop, text
from tests.turns.test_shown import call_of, make_turn, shown
from tests.web.conftest import make_session
from tests.web.pages import Element, read

pytestmark = pytest.mark.postgres


def test_a_step_says_in_plain_words_what_was_searched_and_how_much_was_found(
    catalog: FaultyServer, ada: User, browser: Client
) -> None:
    session = make_session(catalog, ada, index_ids=["idx-reports", "idx-policies"])
    calls = [call_of("exc-idx-reports", 1), {**call_of("", 2), "arguments": {"query": "x"}}]
    results = [result(1), {**result(2), "result": []}, {**result(3), "result": "line 7"}]
    script(catalog, session, sse(question(), *calls, *results, text("So."), stop()))
    turn = ended(put(session, ada))

    steps = read(browser.get(f"/sessions/{session.session_id}/turns/{turn.number}/steps/")).all("li", class_="step")

    said = [step.all("summary")[0].text for step in steps]
    assert said == ["Searched Reports", "Used the tool find", "Found 1 passage", "Found nothing", "Got an answer"]
    assert all("find" in step.text for step in steps)


def unfolded(turn: Turn, kind: str, **event: Any) -> Element:
    (step,) = steps_html(turn, [Entry(1, kind, json.dumps({"type": kind, "call_id": "1", "name": "find"} | event))])
    return read(HttpResponse(step)).one("li")


def test_what_a_tool_found_is_read_as_passages_with_their_places(session: ChatSession) -> None:
    turn = make_turn(session, TurnState.RUNNING)
    found = [
        {"content": "Roses are <b>red</b>.", "file_name": "garden.pdf", "page": 3},
        {"content": "Violets are blue."},
        *({"content": f"Line {number}"} for number in range(PASSAGES)),
    ]

    step = unfolded(turn, "tool_result", result=found)

    first, second, *others = step.all("blockquote")
    assert first.text == "Roses are <b>red</b>.garden.pdf, page 3"
    assert second.text == "Violets are blue."
    assert len(others) == PASSAGES - 2
    assert f"Line {PASSAGES - 1}" in step.all("details")[-1].one("pre").text, "all of it can be unfolded"


@pytest.mark.parametrize("result", ["line 7", [{"rows": 3}], None, {"answer": [1, 2]}])
def test_what_is_no_passage_is_shown_as_it_came(session: ChatSession, result: Any) -> None:
    step = unfolded(make_turn(session, TurnState.RUNNING), "tool_result", result=result)

    assert step.all("blockquote") == []
    assert json.loads(step.one("pre").text) == result


def test_what_a_tool_was_told_is_read_name_by_name(session: ChatSession) -> None:
    told = {"query": "red\nroses", "top_k": 5, "items": ["a", "b"], "<b>": None}

    step = unfolded(make_turn(session, TurnState.RUNNING), "tool_call", arguments=told)

    assert [name.text for name in step.all("dt")] == ["Tool", *told]
    tool, *values = [value.text for value in step.all("dd")]
    assert tool == "find"
    assert [values[0], *map(json.loads, values[1:])] == ["red roses", 5, ["a", "b"], None]


@pytest.mark.parametrize("told", [{}, {str(number): number for number in range(ARGUMENTS + 1)}], ids=["none", "many"])
def test_none_or_many_arguments_are_shown_as_they_came(session: ChatSession, told: dict[str, int]) -> None:
    step = unfolded(make_turn(session, TurnState.RUNNING), "tool_call", arguments=told)

    assert len(step.all("dt")) == 1
    assert json.loads(step.one("pre").text) == told


def test_of_a_live_answer_no_name_is_looked_up(session: ChatSession, django_assert_num_queries: Any) -> None:
    turn = make_turn(session, TurnState.RUNNING, index_ids=["idx-reports"])

    with django_assert_num_queries(0):
        (step,) = steps_html(turn, [Entry(1, "tool_call", json.dumps(call_of("exc-idx-reports", 1)))])

    assert "Searched a source" in step


@pytest.mark.parametrize(
    "step", [{"type": "thinking", "content": "Hm."}, {"type": "weather", "sky": "blue"}], ids=["thought", "unknown"]
)
def test_steps_without_a_tool_can_be_unfolded_too(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client, step: dict[str, Any]
) -> None:
    script(faulty, session, sse(question(), step, text("So."), stop()))
    turn = ended(put(session, ada))

    assert shown(browser, turn).one("summary").text == "How this was answered"
    assert len(read(browser.get(f"/sessions/{session.session_id}/turns/1/steps/")).all("li", class_="step")) == 1
    reader = Reader(turn, None)
    assert b"How this was answered" in reader.news(), "who saw it grow is told too"
    reader.close()
