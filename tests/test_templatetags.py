"""Upstream text, ages and numbers as a person reads them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Template
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from dashboard.catalog.models import Readiness
from dashboard.chats.models import LockState, RunState
from dashboard.templatetags import corral, wording

NOW = datetime(2026, 5, 12, 15, 0, tzinfo=UTC)


def rendered(source: str, **context: object) -> str:
    """The HTML of a line of template."""
    return Template("{% load corral %}" + source).render(Context(context))


# --- Upstream text --------------------------------------------------------------------------------------------------


def test_text_is_escaped_like_any_other() -> None:
    assert rendered("{{ text|plain }}", text="<script>alert(1)</script>") == "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.mark.parametrize(
    "hidden", ["\u200b", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u2069", "\x00", "\x1b", "\x9b"]
)
def test_characters_that_hide_or_turn_text_are_dropped(hidden: str) -> None:
    assert corral.plain(f"pay{hidden}roll") == "payroll"


@pytest.mark.parametrize("lone", ["\ud800", "\ue000", "\U000e0041"])
def test_characters_no_font_has_are_dropped(lone: str) -> None:
    assert corral.plain(f"a{lone}b") == "ab"


def test_joiners_stay_where_a_script_needs_them_and_go_where_they_only_hide() -> None:
    assert corral.plain("می\u200cخواهم") == "می\u200cخواهم"
    assert corral.plain("pay\u200croll \u200d") == "payroll"


def test_piles_of_marks_are_cut_to_what_a_letter_can_carry() -> None:
    assert corral.plain("Z" + "\u0301" * 50) == "Z" + "\u0301" * wording.MARKS_ON_ONE_LETTER
    assert corral.plain("Đặng Thị Ngọc Thịnh") == "Đặng Thị Ngọc Thịnh"


def test_white_space_collapses_to_one_line() -> None:
    assert corral.plain("  one\r\n\ttwo\u2028three  ") == "one two three"


def test_a_long_text_is_cut_and_says_so() -> None:
    assert corral.plain("word " * 3000, 12) == "word word w…"
    assert corral.plain("exactly twelve"[:12], 12) == "exactly twel"


@given(st.text(st.characters(max_codepoint=0x7E), max_size=200), st.integers(2, 20), st.booleans())
def test_plain_text_takes_a_shorter_way_to_the_same_words(text: str, limit: int, lines: bool) -> None:
    looked_at = limit * wording.LOOKED_AT[-1]
    longer_way = "\u200b" + text[: looked_at - 1]

    if len(text) < looked_at:
        assert wording.visible(text, limit, lines=lines) == wording.visible(longer_way, limit, lines=lines)
    else:
        assert wording.visible(text, limit, lines=lines).endswith("…")


def test_a_flood_of_joiners_is_read_once_and_not_from_each_of_them() -> None:
    flood = "é" + "\u200d" * 1_000_000 + "é"
    assert wording.visible(flood, 1_000_000) == "é" + "\u200d" * 999_998 + "…"
    assert wording.visible("a" + "\u200d" * 1_000_000 + "é", 1_000_000) == "aé"


def test_json_nested_deeply_is_laid_out_as_far_as_it_is_shown() -> None:
    value: object = list(range(100_000))
    for _ in range(90):
        value = [value]
    assert corral.as_json(value, 2_000).endswith("…")


@pytest.mark.parametrize(
    "inner", ["word " * 13_000, ["row"] * 100_000, "\u200b" * 64_000, "\u0301" * 64_000, "n\u0303" * 32_000]
)
def test_no_more_of_a_result_is_looked_at_than_a_few_times_what_is_shown(
    inner: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    seen = wording._seen

    def counted(text: str, lines: bool, indented: bool) -> str:
        looked_at.append(len(text))
        return seen(text, lines, indented)

    monkeypatch.setattr(wording, "_seen", counted)

    assert corral.as_json({"letter": "é", "content": inner}, 8000).endswith("…")
    assert sum(looked_at) <= 8000 * sum(wording.LOOKED_AT)
    assert looked_at[0] == 8000 * wording.LOOKED_AT[0]


def test_a_page_of_long_results_is_laid_out_in_a_moment() -> None:
    result = {"letter": "é", "content": "word " * 13_000}
    began = time.thread_time()

    for _ in range(200):
        corral.as_json(result, 8000)

    assert time.thread_time() - began < 1.5


def test_joiners_in_great_number_are_judged_by_their_neighbours_alone() -> None:
    text = "é\u200d" * 500_000 + "é"
    began = time.thread_time()

    assert wording.visible(text, 1_000_001) == text
    assert time.thread_time() - began < 5


def test_text_that_is_mostly_invisible_is_read_further() -> None:
    assert corral.plain("\u200b" * 25 + "found", 10) == "found"


def test_json_keeps_its_layout_and_hides_nothing() -> None:
    laid_out = corral.as_json({"a": {"b": "one\n\n  two\u202e"}})
    assert laid_out == '{\n  "a": {\n    "b": "one\\n\\n two"\n  }\n}'


def test_text_hidden_behind_a_flood_of_invisible_characters_is_cut_too() -> None:
    assert corral.plain("a" + "\u200b" * 5000 + "b", 10) == "a…"


def test_lines_are_kept_only_where_asked_for() -> None:
    text = "first\r\n\n\n  second\u2029third\x07"
    assert corral.plain_lines(text) == "first\nsecond\nthird"


@pytest.mark.parametrize(("value", "shown"), [(None, ""), (12, "12"), ("", "")])
def test_anything_may_come_from_upstream(value: object, shown: str) -> None:
    assert corral.plain(value) == corral.plain_lines(value) == shown


# --- Ages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(seconds=-30), "just now"),
        (timedelta(seconds=44), "just now"),
        (timedelta(seconds=50), "1 minute ago"),
        (timedelta(minutes=5), "5 minutes ago"),
        (timedelta(minutes=61), "1 hour ago"),
        (timedelta(hours=11), "11 hours ago"),
        (timedelta(hours=14), "14 hours ago"),
        (timedelta(hours=16), "yesterday"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=30), "30 days ago"),
        (timedelta(days=31), "11 Apr 2026"),
        (timedelta(days=-2), "14 May 2026"),
    ],
)
def test_an_age_is_said_in_words(age: timedelta, words: str) -> None:
    assert wording.relative(NOW - age, NOW) == words


def test_the_exact_local_date_is_on_hover_and_in_the_accessible_text() -> None:
    moment = timezone.now() - timedelta(hours=2)
    with timezone.override("Europe/Lisbon"):
        exact = wording.exact(moment)
        html = rendered("{% ago moment %}", moment=moment)
    assert f'datetime="{moment.isoformat(timespec="seconds")}"' in html
    assert f'title="{exact}"' in html
    assert f'2 hours ago<span class="visually-hidden"> ({exact})</span></time>' in html
    assert exact.endswith(("WET", "WEST"))


def test_no_date_is_a_dash() -> None:
    assert rendered("{% ago moment %}", moment=None) == "–"


# --- Numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (None, "–"),
        (0, "less than 0.1 s"),
        (49.9, "less than 0.1 s"),
        (8412.3, "8.4 s"),
        (59_949, "59.9 s"),
        (59_990, "1 min 0 s"),
        (125_000, "2 min 5 s"),
        (3_600_000, "1 h 0 min"),
        (3_780_000, "1 h 3 min"),
    ],
)
def test_a_duration_is_said_in_the_largest_units_that_matter(milliseconds: float | None, words: str) -> None:
    assert corral.took(milliseconds) == words


def test_token_counts_are_grouped() -> None:
    assert corral.tokens(12480) == "12,480"
    assert corral.tokens(0) == "0"
    assert corral.tokens(None) == "–"


# --- Words and marks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [*LockState])
def test_every_lock_state_has_its_own_drawing_its_word_and_its_reason(state: LockState) -> None:
    html = rendered("{% lock_mark state %}", state=state)
    assert corral.icon(corral.lock_icon(state)) in html
    assert state.label in html
    assert len({corral.LOCK_ICONS[other] for other in LockState}) == len(LockState)


@pytest.mark.parametrize("state", [*RunState])
def test_every_run_state_has_a_drawing_and_its_word(state: RunState) -> None:
    html = rendered("{% run_mark state %}", state=state)
    assert "<svg" in html
    assert html.endswith(f"{state.label}</span>")


@pytest.mark.parametrize("readiness", [*Readiness])
def test_every_readiness_has_a_drawing_its_word_and_its_meaning(readiness: Readiness) -> None:
    html = rendered("{% readiness_mark readiness %}", readiness=readiness)
    assert "<svg" in html
    assert readiness.label in html


def test_a_source_that_left_the_catalog_says_so() -> None:
    assert "No longer listed" in rendered("{% readiness_mark readiness %}", readiness=None)


@pytest.mark.parametrize(
    ("access", "words"),
    [("", "LlamaCloud’s default"), ("read_only", "read only"), ("query", "read and ask"), ("new_word", "new_word")],
)
def test_sharing_is_said_in_words_and_a_new_word_is_shown_as_it_is(access: str, words: str) -> None:
    assert words in corral.sharing(access)


def test_a_person_is_called_by_their_name_if_they_have_one() -> None:
    assert corral.person(User(username="ada", first_name="Ada", last_name="Byron")) == "Ada Byron"
    assert corral.person(User(username="ada")) == "ada"
    assert corral.person(AnonymousUser()) == corral.person(None) == ""


def test_a_drawing_is_hidden_from_screen_readers() -> None:
    html = corral.icon("locked", 24)
    assert 'width="24"' in html
    assert 'aria-hidden="true"' in html
    assert html.endswith('d="M5 7V5a3 3 0 0 1 6 0v2M8 10v1.5"/></svg>')
