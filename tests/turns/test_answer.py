"""Growing answers: settled blocks, tails, pieces; the same however cut, and never slower than their length."""

from __future__ import annotations

import cProfile
import json
import pstats
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.turns import answer as answers
from dashboard.turns import markdown
from dashboard.turns.answer import MAX_CITATIONS, PIECE, Answer, Entry, missing_steps
from dashboard.turns.markdown import Settler, render
from dashboard.upstream import EVENT_TYPES, UnknownEvent, read_event
from dashboard.web.live import fold
from tests.turns.conftest import call, delta, question, result, stop, text

LINES = st.sampled_from(
    [
        "plain words", "**bold** and `code`", "# Heading", "## Heading", "- item", "- ", "* other", "1. one", "2. two",
        "2", "10) ten", "  indented", "    code", "\tcode", "> quote", ">", "> - in quote", "```", "```python", "~~~",
        "---", "===", "***", "| a | b |", "|---|:-:|", "a|b", "-|-", "| 1 | 2 |", "<b>html</b>", "\\*not\\*", "",
        "", "", " ", "[link](http://example.org)", "![image](x.png)", "a  ", "a\\", "&amp; &lt;", "\N{GRINNING FACE}",
        "e\u0301\u2028x", "<script>alert(1)</script>", "[x](javascript:alert(1))", "~~gone~~", "_a_", "`", "``",
    ]
)  # fmt: skip
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=14))
    whole = "".join(line + end for line, end in lines)
    return whole if draw(st.booleans()) else whole.rstrip("\r\n")


def cut(draw: Any, whole: str) -> list[str]:
    places = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=25)))
    return [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]


@given(st.data(), documents())
@settings(max_examples=400, deadline=None)
def test_however_a_text_is_cut_it_is_rendered_as_if_it_came_whole(data: Any, whole: str) -> None:
    settler = Settler()

    html = "".join([settler.feed(part) for part in cut(data.draw, whole)]) + settler.finish()

    assert html == render(whole)
    assert settler.tail == ""


@given(documents(), st.integers(2, 7))
@settings(max_examples=300, deadline=None)
def test_a_few_characters_at_a_time(whole: str, size: int) -> None:
    settler = Settler()
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]

    assert "".join([settler.feed(part) for part in parts]) + settler.finish() == render(whole)


@given(documents())
@settings(max_examples=150, deadline=None)
def test_character_by_character(whole: str) -> None:
    settler = Settler()

    assert "".join([settler.feed(character) for character in whole]) + settler.finish() == render(whole)


def test_a_list_whose_next_number_comes_in_two_parts_stays_one_list() -> None:
    settler = Settler()

    html = "".join([settler.feed(part) for part in ("1. a\n\n2", ". b\n\n", "End")]) + settler.finish()

    assert html.count("<ol") == 1


def test_a_link_defined_in_one_block_is_known_in_later_ones() -> None:
    settler = Settler()
    parts = ["[a]: http://example.org\n\nFirst [a].\n\nSecond\n\n[b]: http://exa", "mple.net\n\n[b]\n\nEnd"]

    html = "".join([settler.feed(part) for part in parts]) + settler.finish()

    assert 'href="http://example.org"' in html
    assert 'href="http://example.net"' in html


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
    "tangled quotes": "> " + "\n=\n>> " * 12_000,
    "tangled quotes in a list": "- x\n\n  a\n" + "\n  =\n  >> " * 8_000,
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


def test_code_that_is_cut_stays_code() -> None:
    settler = Settler()
    code = "```python\n" + "x = '<b>'\n" * 20_000 + "```\n\nAfter *that*.\n"

    html = "".join([settler.feed(code[start : start + 999]) for start in range(0, len(code), 999)]) + settler.finish()

    assert html.count("x = '&lt;b&gt;'") == 20_000
    assert html.endswith("<p>After <em>that</em>.</p>\n")
    assert re.sub(r"<pre><code[^>]*>.*?</code></pre>\n", "", html, flags=re.DOTALL) == "<p>After <em>that</em>.</p>\n"


def test_what_is_too_tangled_is_shown_as_it_is_written() -> None:
    html = render("> " + "\n=\n>> " * 2_000 + "<b>\n")

    assert html.startswith("<p>&gt; <br>\n=<br>\n&gt;&gt; <br>\n")
    assert html.count("<br>") == 4_000
    assert "<b>" not in html


def test_lists_within_lists_are_not_too_tangled() -> None:
    deep = "".join("  " * depth + f"- level {depth}\n" for depth in range(8)) * 200

    assert render(deep).count("<li>") == 1_600


def test_a_fence_is_opened_again_with_no_more_than_the_name_of_its_language() -> None:
    settler = Settler()
    settler.feed("  ```python " + "x" * markdown.FORCED_CUT + "\nfirst = 1\n")

    assert settler.tail.startswith("  ```python xxx")
    assert len(settler.tail) < 200
    assert "<code>second = 2\n</code>" in settler.feed("second = 2\n") + settler.finish()


def test_a_tail_never_grows_beyond_the_bound() -> None:
    settler = Settler()
    for _ in range(2000):
        settler.feed("x" * 100)
        assert len(settler.tail) <= markdown.FORCED_CUT + 100


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
        ([], ["call 1"], ["call 1"]),
    ],
)
def test_of_an_answer_read_back_the_steps_that_are_lacking_are_added_and_no_others(
    live: list[str], stored: list[str], lacking: list[str]
) -> None:
    events = {
        "call 1": call(1), "result 1": result(1), "status": {"type": "status", "message": "On it"},
        "thought": {"type": "thinking", "content": "Hm."},
    }  # fmt: skip
    seen, whole = Answer(), Answer()
    logged = [entry for name in live for entry in seen.take(read_event(events[name]))]
    for name in stored:
        whole.take(read_event({**events[name], "told": "in other words"} if "1" in name else events[name]))

    late = missing_steps(whole, seen=[(entry.type, entry.data) for entry in logged], number=seen.number)

    assert [entry.number for entry in late] == list(range(seen.number + 1, seen.number + 1 + len(lacking)))
    assert [entry.type for entry in late] == [events[name]["type"] for name in lacking]


def test_a_table_is_not_filled_up_without_end() -> None:
    narrow = "|a" * 256 + "\n" + "|-" * 256 + "\n" + "x\n" * 256
    small = "|a" * 10 + "\n" + "|-" * 10 + "\n" + "x\n" * 10 + "\n"

    assert len(render(narrow * 12)) < 20 * len(narrow * 12)
    assert len(render(small * 300)) < 40 * len(small * 300)
    assert render(small).count("<td>") == 100


@pytest.mark.parametrize("address", ["/accounts/logout/", "sessions/new/", "//example.org/", "#main", "?prompt=hi"])
def test_a_link_in_an_answer_leads_to_no_page_of_ours(address: str) -> None:
    assert "href" not in render(f"[here]({address})")


def test_a_definition_is_not_repeated_without_end() -> None:
    definition = "[a]: http://example.org/" + "y" * 2_000 + "\n\n"
    html = render(definition + "[a] " * 2_500)

    assert 10 < html.count("href") < 100
    assert html.count("[a]") + html.count("href") == 2_500
    assert len(html) < 2 * markdown.REFERRED

    settler = Settler()
    parts = [settler.feed(part) for part in (definition, *["[a] " * 100 + "\n\n"] * 25)]
    assert "".join([*parts, settler.finish()]).count("href") == html.count("href")


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
