"""Markdown that grows: rendered alike however it is cut, in settled blocks and a tail, and bounded whatever it says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.turns import markdown
from dashboard.turns.markdown import Settler, render

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


def test_a_fence_of_very_many_signs_is_not_repeated() -> None:
    settler = Settler()
    settler.feed("`" * markdown.FORCED_CUT + "\nfirst = 1\n")

    assert len(settler.tail) < 200
    assert "second = 2" in settler.feed("second = 2\n") + settler.finish()


@pytest.mark.parametrize("depth", range(markdown.DEEPEST + 3))
@pytest.mark.parametrize("sign", ["> ", "- ", ">- "])
def test_nothing_is_left_out_however_deep_it_stands(sign: str, depth: int) -> None:
    settler = Settler()
    html = settler.feed(f"Before.\n\n{sign * depth}deep\n\nBehind.\n\n") + settler.feed("After.\n") + settler.finish()

    assert [word for word in ("Before", "deep", "Behind", "After") if word not in html] == []


def test_a_tail_never_grows_beyond_the_bound() -> None:
    settler = Settler()
    for _ in range(2000):
        settler.feed("x" * 100)
        assert len(settler.tail) <= markdown.FORCED_CUT + 100


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
