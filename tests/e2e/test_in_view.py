"""Where the reader is: what is in view, and has the focus, while an answer grows and when it ends."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import focus_is_visible
from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.e2e.talk import LONG, ask, asking, box, brisk_home, ended, open_session
from tests.localcloud.fixtures import RunningLocalcloud

__all__ = ["brisk_home"]
CUT = ("Failed to load resource", "htmx:error", "htmx:sse:error")


def test_who_stops_with_the_keyboard_is_on_the_note_and_asks_nothing_again(visit: Visit, home: House) -> None:
    page = open_session(visit, home, viewport={"width": 400, "height": 600})
    turn = ask(page)
    page.locator("#turn-1-live").get_by_text("Quoted word").wait_for()
    turn.get_by_role("button", name="Stop").press("Enter")
    ended(turn, "stopped")
    note = turn.get_by_text("This answer was stopped by").locator("xpath=ancestor::p")

    expect(note).to_be_focused()
    page.wait_for_timeout(300)
    assert focus_is_visible(page), "nothing scrolled it out of sight"
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    expect(page.get_by_role("article")).to_have_count(1)
    reading = page.evaluate("scrollY")

    expect(turn.get_by_text("this is the whole answer")).to_be_visible(timeout=60_000)

    expect(note).to_be_focused()
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") == reading, "the reader goes on where the answer had stopped"


def at_end(page: Page) -> bool:
    near: bool = page.evaluate("document.documentElement.scrollHeight - innerHeight - scrollY < 90")
    return near


def test_growth_is_followed_at_the_end_and_leaves_other_readers_alone(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, viewport={"width": 400, "height": 480})
    first = ask(page)
    page.locator("#turn-1-live").get_by_text("Quoted word").wait_for()
    page.wait_for_timeout(300)
    assert at_end(page), "who asks sees the answer to its end"
    ended(first)

    second = ask(page)
    page.wait_for_timeout(200)  # the page has gone to the new question
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    ended(second)
    page.wait_for_timeout(500)
    assert page.evaluate("scrollY") == 0
    page.get_by_role("button", name="Jump to the end").click()
    assert at_end(page)
    expect(box(page)).to_be_focused()


MANY_SOURCES = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(".cited { min-block-size: 40rem }");
  document.adoptedStyleSheets.push(sheet);
}"""
"""Makes what was read for an answer as long as a hundred places."""


@pytest.mark.parametrize("blocks_streams", [False, True], ids=["streamed", "asked for again and again"])
def test_the_last_words_of_an_answer_stay_in_view_whatever_it_ends_with(
    visit: Visit, brisk_home: House, blocks_streams: bool
) -> None:
    page = open_session(visit, brisk_home, viewport={"width": 400, "height": 600}, expect=CUT)
    if blocks_streams:
        page.route("**/events/", lambda route: route.abort())
    page.evaluate(MANY_SOURCES)
    turn = ask(page)
    ended(turn)
    page.wait_for_timeout(500)

    bottom = turn.locator("#turn-1-answer").evaluate("it => it.getBoundingClientRect().bottom")
    assert 0 < bottom <= page.locator(".dock").evaluate("it => it.getBoundingClientRect().top") + 1
    assert page.evaluate("document.documentElement.scrollHeight - innerHeight - scrollY") > 200, "they are not followed"


def test_somebody_elses_question_below_is_told_to_who_reads_further_up(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, viewport={"width": 320, "height": 600})
    ended(ask(page))
    other = visit(brisk_home, "ben", page.url)
    page.evaluate("scrollTo(0, 0)")
    jump = page.locator("[data-jump]")
    expect(jump).to_have_accessible_name("Jump to the end")
    place = jump.bounding_box()
    assert place
    assert (place["width"], place["height"]) == (44, 44)
    ended(ask(other))

    expect(jump).to_have_accessible_name("New question below")
    assert page.evaluate("scrollY") == 0
    jump.click()
    expect(jump).to_be_hidden()
    page.evaluate("scrollTo(0, 0)")
    expect(jump).to_have_accessible_name("Jump to the end")


def above_the_dock(it: Locator) -> bool:
    """Whether the composer covers nothing of it."""
    bottom: float = it.evaluate("it => it.getBoundingClientRect().bottom")
    dock: float = it.page.locator(".dock").evaluate("it => it.getBoundingClientRect().top")
    return 0 < bottom <= dock + 1


def test_what_the_composer_no_longer_says_takes_nobody_away_from_a_stopped_answer(visit: Visit, home: House) -> None:
    page = open_session(visit, home, viewport={"width": 320, "height": 640}, expect=CUT)
    page.evaluate(MANY_SOURCES)
    turn = ask(page)
    page.locator("#turn-1-live").get_by_text("Quoted word").wait_for()
    box(page).fill("And by bus?")
    box(page).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("still answering another question")

    turn.get_by_role("button", name="Stop").press("Enter")
    ended(turn, "stopped")

    expect(page.get_by_text("still answering another question")).to_have_count(0)
    page.wait_for_timeout(500)
    assert focus_is_visible(page)
    assert above_the_dock(turn.get_by_role("button", name="Ask again"))


def test_what_to_do_about_a_failure_is_in_view_and_the_next_try_has_the_focus(
    visit: Visit, home: House, cloud: RunningLocalcloud
) -> None:
    page = open_session(visit, home, viewport={"width": 320, "height": 640})
    ended(ask(page))
    session_id = page.url.split("#")[0].split("?")[0].rstrip("/").rpartition("/")[2]

    def touched() -> str:
        return str(cloud.call("GET", f"/api/v1/chat/{session_id}").json()["last_updated_at"])

    before = touched()
    with asking(cloud, session_id, LONG):
        while touched() == before:
            page.wait_for_timeout(50)
        second = ask(page, "And by bus?")
        ended(second, "failed")
        again = second.get_by_role("button", name="Ask again")
        page.wait_for_timeout(500)
        assert above_the_dock(again)
    page.wait_for_timeout(500)

    again.press("Enter")

    expect(page.get_by_role("article").last).to_be_focused()
    expect(page.get_by_role("article").last).to_be_in_viewport()
