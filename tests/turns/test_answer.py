"""Growing answers: entries that add up to what a fresh reader is shown, pieces, bounds; as quick as they are short."""

from __future__ import annotations

import cProfile
import json
import pstats
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.turns import answer as answers
from dashboard.turns.answer import MAX_CITATIONS, PIECE, Answer, Entry, missing_steps
from dashboard.upstream import EVENT_TYPES, UnknownEvent, read_event
from dashboard.web.live import fold
from tests.turns.conftest import call, delta, question, result, stop, text
from tests.turns.test_markdown import documents

EVENT = st.one_of(
    st.builds(delta, documents()),
    st.builds(text, documents()),
    st.builds(lambda content: {"type": "thinking_delta", "content": content}, st.text(max_size=5)),
    st.builds(lambda content: {"type": "thinking", "content": content}, st.text(max_size=5)),
    st.just(call()),
    st.just(result()),
    st.just({"type": "surprise"}),
)


@given(st.lists(st.tuples(EVENT, st.booleans()), max_size=12))
@settings(max_examples=200, deadline=None)
def test_the_entries_add_up_to_what_a_fresh_reader_is_shown(events: list[tuple[dict[str, Any], bool]]) -> None:
    answer, entries = Answer(), list[Entry]()
    for event, framed in events:
        entries += answer.take(read_event(event))
        if framed:
            entries += answer.frame()
            html, tail = fold(entries)
            assert (html, tail) == answer.snapshot()
    entries += answer.close()

    assert fold(entries) == answer.snapshot()
    assert answer.snapshot()[1] == ""
    assert "".join(answer.pieces()) == answer.snapshot()[0]
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))


def test_what_was_unfinished_is_logged_as_the_text_it_is() -> None:
    """Who reads the log again, after this process has gone, must know it for one."""
    answer = Answer()
    answer.take(read_event(delta("cut off")))
    assert json.loads(answer.close()[-1].data) == {"type": "text", "content": "cut off"}


@given(st.lists(EVENT, max_size=8))
@settings(max_examples=100, deadline=None)
def test_only_the_complete_block_counts_where_there_is_one(events: list[dict[str, Any]]) -> None:
    answer = Answer()
    for event in [*events, delta("drafted"), text("said")]:
        answer.take(read_event(event))
    answer.close()

    assert answer.text[-1] == "said"
    assert "drafted" not in answer.text[-1]


# --- long answers ---------------------------------------------------------------------------------------------------

PARAGRAPHS = "".join(f"Paragraph {number} says *something* worth `reading`.\n\n" for number in range(4_000))[:160_000]
KINDS = {
    "paragraphs": PARAGRAPHS,
    "one line": "word " * 32_000,
    "one line of code": "```json\n" + '{"a": 1},' * 18_000,
    "code": "```\n" + "let x = 1;\n" * 15_000 + "```\n",
    "a list": "- an item of a list\n" * 8_000,
    "a table": "| a | b |\n|---|---|\n" + "| one | two |\n" * 5_000,
    "a quote": "> quoted words\n" * 11_000,
    "brackets": "[" * 60_000,
    "tangled quotes": "> " + "\n=\n>> " * 5_000,
    "tangled quotes in a list": "- x\n\n  a\n" + "\n  =\n  >> " * 4_000,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_answer_takes_work_in_proportion_to_its_length(kind: str) -> None:
    """Four times the text in small parts takes at most ten times as many calls (the square would be sixteen)."""

    def calls(content: str) -> int:
        with cProfile.Profile() as profile:
            answer = Answer()
            for start in range(0, len(content), 500):
                answer.take(read_event(delta(content[start : start + 500])))
                answer.frame()
            answer.close()
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # missing in the stubs

    quarter = KINDS[kind][: len(KINDS[kind]) // 4]
    once, fourfold = calls(quarter), calls(KINDS[kind])

    assert fourfold < 10 * once, (once, fourfold)


def test_two_megabytes_at_once_become_pieces_a_page_can_bear() -> None:
    whole = ("".join(f"Paragraph {number}\n\n" for number in range(9_000)) * 20)[:2_000_000].rpartition("P")[0]
    answer = Answer()

    answer.take(read_event(text(whole)))
    answer.close()

    pieces = answer.pieces()
    assert len(pieces) > 30
    assert max(map(len, pieces)) < PIECE + 100_000
    assert "".join(pieces).count("<p>") == whole.count("Paragraph")


def test_an_answer_takes_memory_in_proportion_to_its_length() -> None:
    answer = Answer()
    tracemalloc.start()

    for start in range(0, len(PARAGRAPHS), 500):
        answer.take(read_event(delta(PARAGRAPHS[start : start + 500])))
        answer.frame()
    answer.close()

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * len(PARAGRAPHS)


def test_the_places_of_one_answer_are_bounded() -> None:
    answer = Answer()
    for number in range(500):
        answer.take(read_event(result(number)))

    assert len(answer.citations) == MAX_CITATIONS
    assert answer.passages == 500


def test_what_would_have_to_be_read_again_is_known_before() -> None:
    answer = Answer()
    assert answer.to_look_at == 0

    answer.take(read_event(delta("words of one block " * 500)))

    assert answer.to_look_at == 9_500
    answer.frame()
    assert answer.to_look_at == 0


def test_a_question_is_no_step() -> None:
    answer = Answer()
    for event in [question(), call(), result(), {"type": "surprise"}, delta("x"), text("x"), stop()]:
        answer.take(read_event(event))

    assert [entry.type for entry in answer.steps] == ["tool_call", "tool_result", "surprise"]


@pytest.mark.parametrize("fields", [{}, {"content": None}, {"content": 5}])
@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_an_event_without_its_fields_is_not_what_it_claims(kind: str, fields: dict[str, Any]) -> None:
    answer = Answer()
    event = read_event({"type": kind, **fields})

    entries = answer.take(event)

    if isinstance(event, UnknownEvent):
        assert [entry.type for entry in entries] == ["unknown"]


def test_steps_without_end_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_STEPS", 3)
    answer = Answer()

    made = [answer.take(read_event({"type": "odd"})) for _ in range(5)]
    assert [len(entries) for entries in made] == [1, 1, 1, 0, 0]

    assert answer.take(read_event({"type": "text", "content": "Because."}))[0].number == 4


def test_nothing_that_comes_without_end_makes_entries_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_STEPS", 5)
    monkeypatch.setattr(answers, "MAX_BLOCKS", 5)
    answer, entries = Answer(), list[Entry]()

    for number in range(100):
        entries += answer.take(read_event(question()))
        entries += answer.take(read_event(text(f"Block {number}")))
        answer.take(read_event(delta(f"Grown {number}")))
        entries += answer.take(read_event({"type": "surprise", "number": number}))
        entries += answer.take(read_event(text(f"Grown {number}")))
    entries += answer.close()

    assert len(entries) < 25
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    html = "".join(answer.pieces())
    assert (html.count("Block"), html.count("Grown")) == (100, 100)
    assert html.count("<p>") == 200
    assert fold(entries) == answer.snapshot()


@pytest.mark.parametrize(
    ("live", "stored", "lacking"),
    [
        (["status", "call 1"], ["call 1", "result 1"], ["result 1"]),
        (["call 1"], ["thought", "call 1", "result 1"], ["thought", "result 1"]),
        (["call 1", "result 1"], ["call 1", "result 1"], []),
        (["thought"], ["thought", "thought"], ["thought"]),
        (["thought"], ["same thought"], []),
        ([], ["call 1"], ["call 1"]),
    ],
)
def test_of_an_answer_read_back_the_steps_that_are_lacking_are_added_and_no_others(
    live: list[str], stored: list[str], lacking: list[str]
) -> None:
    events = {
        "call 1": call(1), "result 1": result(1), "status": {"type": "status", "message": "On it"},
        "thought": {"type": "thinking", "content": "Hm."},
        "same thought": {"content": "Hm.", "signature": None, "type": "thinking"},
    }  # fmt: skip
    seen, whole = Answer(), Answer()
    logged = [entry for name in live for entry in seen.take(read_event(events[name]))]
    for name in stored:
        whole.take(read_event({**events[name], "told": "in other words"} if "1" in name else events[name]))

    late = missing_steps(whole, seen=[(entry.type, entry.data) for entry in logged], number=seen.number)

    assert [entry.number for entry in late] == list(range(seen.number + 1, seen.number + 1 + len(lacking)))
    assert [entry.type for entry in late] == [events[name]["type"] for name in lacking]


def test_blocks_that_never_grew_are_logged_once_each() -> None:
    answer, entries = Answer(), list[Entry]()
    for number in range(300):
        entries += answer.take(read_event(text(f"Block {number}\n")))

    assert sum(len(entry.html) for entry in entries) == len(answer.snapshot()[0])


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_block_that_differs_at_its_ends_only_replaces_nothing(end: str) -> None:
    answer, entries = Answer(), list[Entry]()
    for number in range(300):
        answer.take(read_event(delta(f"\n\nBlock {number}{end}")))
        entries += answer.take(read_event(text(f"Block {number}")))

    assert sum(len(entry.html) for entry in entries) <= len(answer.snapshot()[0])
    assert answer.snapshot()[0].count("<p>") == 300


def test_blocks_that_differ_replace_what_grew_but_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "REPLACED", 20_000)
    answer, entries = Answer(), list[Entry]()
    for number in range(300):
        answer.take(read_event(delta(f"Draft {number}")))
        entries += answer.take(read_event(text(f"Block {number}")))

    assert sum(len(entry.html) for entry in entries) < 40_000
    assert answer.snapshot()[0].startswith("<p>Block 0</p>\n<p>Block 1</p>\n")
    assert fold(entries) == answer.snapshot()


def test_line_ends_of_whatever_kind_cost_no_more_than_the_text() -> None:
    answer, entries = Answer(), list[Entry]()
    answer.take(read_event(delta("```\r\n")))
    for _ in range(1_000):
        answer.take(read_event(delta("let x = 1;\r")))
        entries += answer.frame()
        answer.take(read_event(delta("\n")))
        entries += answer.frame()

    assert sum(len(entry.tail or "") + len(entry.html) + len(entry.data) for entry in entries) < 200_000
    assert fold(entries)[1].count("\n") == 1_001
