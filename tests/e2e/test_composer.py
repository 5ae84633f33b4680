"""The place to ask: it moves nothing, takes no more room than it must, and says what it holds."""

from __future__ import annotations

from playwright.sync_api import Locator

from tests.e2e.browser import focused
from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.e2e.talk import ask, box, brisk_home, ended, open_session

__all__ = ["brisk_home"]


def edge(part: Locator, side: str) -> float:
    """Where one of its sides is, in pixels from the top of the window."""
    place: float = part.evaluate("(it, side) => it.getBoundingClientRect()[side]", side)
    return place


def test_typing_and_going_on_to_the_button_scroll_nothing(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, viewport={"width": 1280, "height": 600})
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


def test_with_a_phones_keyboard_up_nothing_stays_blank_below(visit: Visit, home: House) -> None:
    page = visit(home, "ada", home.path("locked"), viewport={"width": 640, "height": 400})
    box(page).focus()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")

    assert 400 - edge(page.locator(".dock"), "bottom") < 4
