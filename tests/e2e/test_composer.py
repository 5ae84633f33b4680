"""The place to ask: it moves nothing, takes no more room than it must, and says what it holds."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import NARROW, focused
from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.e2e.talk import ask, begin, box, brisk_home, ended, open_session

__all__ = ["brisk_home"]
PHONE, DESK = {"width": NARROW, "height": 568}, {"width": 1280, "height": 800}


def edge(part: Locator, side: str) -> float:
    """Where one of its sides is, in pixels from the top of the window."""
    place: float = part.evaluate("(it, side) => it.getBoundingClientRect()[side]", side)
    return place


def choose_ten(page: Page) -> None:
    for number in range(10):
        page.locator("[name=index_ids]").nth(number).check()


@pytest.mark.parametrize("size", [(1280, 600), (NARROW, 568), (640, 400)])
def test_typing_and_going_on_to_the_button_scroll_nothing(
    visit: Visit, brisk_home: House, size: tuple[int, int]
) -> None:
    page = open_session(visit, brisk_home, viewport={"width": size[0], "height": size[1]})
    for _ in range(2):
        ended(ask(page))
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 3)")
    box(page).evaluate("area => area.focus({preventScroll: true})")
    reading = page.evaluate("scrollY")
    assert page.evaluate("document.documentElement.scrollHeight - innerHeight - scrollY") > 150, "room to be moved"

    for letter in "ten letter":
        page.keyboard.type(letter)
        page.wait_for_timeout(30)
        assert page.evaluate("scrollY") == reading
    page.keyboard.press("Tab")
    page.wait_for_timeout(30)

    assert focused(page) == "button Ask"
    assert page.evaluate("scrollY") == reading


@pytest.mark.parametrize("presses", ["Enter", "the button"])
def test_who_asks_keeps_the_focus(visit: Visit, brisk_home: House, presses: str) -> None:
    page = open_session(visit, brisk_home)
    box(page).fill("How hot is the oven?")
    if presses == "Enter":
        box(page).press("Enter")
    else:
        page.get_by_role("button", name="Ask", exact=True).click()
    ended(page.locator("#turn-1"))

    assert focused(page) == ("textarea Your question" if presses == "Enter" else "button Ask")


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_a_long_question_makes_no_slab_of_the_button(visit: Visit, home: House, viewport: dict[str, int]) -> None:
    page = visit(home, "ada", home.path("locked"), viewport=viewport)
    button = page.get_by_role("button", name="Ask", exact=True)
    short = edge(button, "height")
    assert short == edge(box(page), "height")
    box(page).fill("How hot is the oven? " * 30)

    assert edge(button, "height") == short
    assert edge(button, "bottom") == edge(box(page), "bottom")


def test_ten_sources_take_one_line_and_say_the_same_with_and_without_scripts(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "", viewport=PHONE)
    begin(page)
    choose_ten(page)
    expect(page.get_by_role("group", name="10 of 10 chosen").get_by_text("10 of 10 chosen")).to_be_visible()
    ended(ask(page, "How hot is the oven?"))
    page.reload()
    line = page.locator("summary", has_text="Sources for this question")
    plain = visit(home, "ada", page.url, java_script_enabled=False)

    expect(line).to_contain_text("and 9 more")
    assert edge(box(page), "bottom") < edge(page.get_by_role("navigation", name="Main"), "top")
    page.locator("[name=index_ids]").first.evaluate("(box) => box.dispatchEvent(new Event('change', {bubbles: true}))")
    expect(line).to_have_text(plain.locator("summary", has_text="Sources for this question").inner_text())


def test_the_focus_stands_clear_of_a_ticked_box(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "")
    begin(page)
    page.locator("[name=index_ids]").first.check()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")

    ring = page.locator("[name=index_ids]:checked").evaluate(
        "(it) => [getComputedStyle(it).outlineStyle, getComputedStyle(it).outlineOffset]"
    )
    assert ring == ["solid", "2px"]


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_open_sources_cover_nothing_an_empty_conversation_says(
    visit: Visit, home: House, viewport: dict[str, int]
) -> None:
    page = visit(home, "ada", "", viewport=viewport)
    begin(page)
    expect(page.get_by_label("Search sources")).to_be_visible()

    assert edge(page.locator(".suggestions"), "bottom") < edge(page.locator(".dock"), "top")


def test_with_a_phones_keyboard_up_nothing_stays_blank_below(visit: Visit, home: House) -> None:
    page = visit(home, "ada", home.path("locked"), viewport={"width": 640, "height": 400})
    box(page).focus()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")

    assert 400 - edge(page.locator(".dock"), "bottom") < 4
