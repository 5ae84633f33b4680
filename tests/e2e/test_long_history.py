"""A session used elsewhere for years, and an answer as long as a book: read from the newest on, without a freeze."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from dashboard.web.conversation import SCREENS
from tests.e2e.browser import started
from tests.e2e.conftest import Visit
from tests.e2e.houses import House, house
from tests.e2e.way import Way
from tests.faulty import FaultyServer, Received

pytestmark = pytest.mark.system
QUESTIONS = 1_000
"""Of five events each."""
PARAGRAPH = "Trains are booked **second class**, unless the journey takes longer than four hours, as `travel.md` says."
LONG_ANSWER = "\n\n".join(f"{number}. {PARAGRAPH}" for number in range(19_000))
"""A little over 2 MB of Markdown."""
SCREEN = 1_000_000
"""Characters of HTML a page may have at most, however long its session is."""
SLOW = """() => {
  window.__longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.__longest = Math.max(window.__longest, task.duration);
  }).observe({type: "longtask", buffered: true});
}"""
SCREENFUL = 900
"""Pixels."""
FROZEN = 2_000
"""Milliseconds without a reaction that nobody would call anything else, on the slowest of machines."""


def asked(number: int, answer: str) -> list[dict[str, Any]]:
    """One question of a history, with everything that came of it."""
    passages = [{"content": f"Passage {number}", "document": "travel.md", "page": number}]
    usage = {"total_input_tokens": 10, "total_output_tokens": 5, "turns": 2, "duration_ms": 123.5}
    return [
        {"type": "user_input", "content": f"Question {number}?"},
        {"type": "tool_call", "call_id": "c", "name": "find", "arguments": {"query": "train"}},
        {"type": "tool_result", "call_id": "c", "name": "find", "result": passages, "image_attachment": None},
        {"type": "text", "content": answer},
        {"type": "stop", "is_error": False, "error": None, "usage": usage, "skipped_index_ids": []},
    ]


@pytest.fixture(scope="module")
def old_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose LlamaCloud has two sessions that Corral has read nothing of yet."""
    with FaultyServer() as cloud:
        sessions = {}
        for name in ("years", "book"):
            row = cloud.create(Received("POST", "/api/v1/chat", {}, b'{"index_ids": ["idx-reports"]}', port=0))
            row["generated_title"] = f"The {name}"
            row["job_metadata"] = {"turns": 1, "duration_ms": 1.0, "is_error": False, "error": None}
            sessions[name] = ("ada", row["session_id"])
        for number in range(1, QUESTIONS + 1):
            cloud.events[sessions["years"][1]] += asked(number, f"Answer {number}.")
        cloud.events[sessions["book"][1]] = asked(1, LONG_ANSWER)
        with house(tmp_path_factory.mktemp("old"), cloud.url, cloud.key, sessions=sessions) as started:
            yield started


def opened(visit: Visit, old_house: House, name: str, number: int) -> Page:
    """The session's page once the newest answer has been read and has come into it, opened anew."""
    page = visit(old_house, "ada", old_house.path(name))
    expect(page.locator(f"#turn-{number}")).to_be_visible(timeout=120_000)
    expect(page.locator(f"#turn-{number} [data-late]")).to_have_count(0, timeout=120_000)
    page.add_init_script(f"({SLOW})()")
    page.goto(old_house.path(name))
    expect(page.locator(f"#turn-{number}")).to_be_visible()
    return page


def reacts(page: Page) -> None:
    """The page is of a bearable size, and takes what is typed."""
    box = page.get_by_role("textbox", name="Your question")
    box.fill("And by bus?")
    expect(box).to_have_value("And by bus?")
    assert len(page.content()) < SCREEN
    assert page.evaluate("window.__longest") < FROZEN


def test_five_thousand_events_open_at_the_newest_and_older_ones_come_when_asked_for(
    visit: Visit, old_house: House
) -> None:
    page = opened(visit, old_house, "years", QUESTIONS)
    shown = page.get_by_role("article").count()
    assert 5 < shown < 50
    expect(page.locator(f"#turn-{QUESTIONS}")).to_be_in_viewport()
    reacts(page)

    page.get_by_role("link", name="Older").first.click()

    expect(page.locator(f"#turn-{QUESTIONS - shown}")).to_be_attached()
    expect(page.locator(f"#turn-{QUESTIONS}")).to_be_attached()
    assert page.evaluate("window.__longest") < FROZEN


def test_a_two_megabyte_answer_opens_at_once_and_goes_on_when_asked_for(visit: Visit, old_house: House) -> None:
    assert len(LONG_ANSWER) > 2_000_000
    page = opened(visit, old_house, "book", 1)
    paragraphs = page.locator("#turn-1-answer li, #turn-1-answer p")
    before = paragraphs.count()
    assert before > 500
    reacts(page)

    page.get_by_role("link", name="Show more").first.click()

    expect(paragraphs).not_to_have_count(before)
    assert page.evaluate("window.__longest") < FROZEN


def test_who_asks_for_more_with_the_keyboard_goes_on_there(visit: Visit, old_house: House) -> None:
    page = opened(visit, old_house, "book", 1)
    more = page.get_by_role("link", name="Show more").first
    more.focus()
    was = page.evaluate("scrollY")

    more.press("Enter")

    expect(page.get_by_text("The answer goes on here")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("scrollY") >= was - SCREENFUL


def test_who_scrolls_up_gets_to_what_stands_above_the_conversation(visit: Visit, old_house: House) -> None:
    page = opened(visit, old_house, "years", QUESTIONS)
    shown = page.get_by_role("article").count()
    for screens in range(2, SCREENS + 2):
        page.evaluate("scrollTo(0, 0)")
        expect(page.get_by_role("article")).to_have_count(screens * shown)

    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)

    assert page.evaluate("scrollY") == 0
    older = page.get_by_role("link", name="Show older")
    older.click()
    expect(page.get_by_role("article")).to_have_count((SCREENS + 2) * shown)


def test_a_conversation_opens_at_its_newest_question_before_any_script_runs(visit: Visit, old_house: House) -> None:
    opened(visit, old_house, "years", QUESTIONS)
    page = visit(old_house, "ada", "", expect=("Failed to load resource", "dynamically imported module"))
    page.route("**/static/js/app*", lambda route: route.abort())
    Page.goto(page, old_house.path("years"))  # without waiting for scripts

    assert page.evaluate("scrollY") > 0
    expect(page.locator(f"#turn-{QUESTIONS}")).to_be_in_viewport()


def test_who_reads_already_when_the_scripts_come_is_left_alone(visit: Visit, old_house: House) -> None:
    opened(visit, old_house, "years", QUESTIONS)
    page = visit(old_house, "ada", "")
    held: list[Route] = []
    page.route("**/static/js/app*", lambda route: held.append(route))  # Playwright takes no built-in
    with page.expect_request("**/static/js/app*"):
        Page.goto(page, old_house.path("years"))  # without waiting for scripts
    page.evaluate("scrollTo(0, 300)")
    for route in held:
        route.continue_()
    started(page)
    page.wait_for_timeout(200)

    assert page.evaluate("scrollY") == 300


def test_scripts_from_the_cache_wait_for_the_rest_of_the_page(visit: Visit, old_house: House) -> None:
    opened(visit, old_house, "years", QUESTIONS)
    with Way(old_house) as way:
        page = visit(way.house, "ada", old_house.path("years"), expect=("Failed to load resource", "htmx:error"))
        way.dawdle(2_000)
        page.goto(old_house.path("years"))
        page.wait_for_timeout(300)

        expect(page.locator(f"#turn-{QUESTIONS}")).to_be_in_viewport()
        page.evaluate("scrollTo(0, 0)")
        expect(page.get_by_role("button", name="Jump to the end")).to_be_visible()
