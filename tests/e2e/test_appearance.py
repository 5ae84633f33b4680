"""Colours that are remembered, motion that is spared, and paper."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import settle
from tests.e2e.conftest import Visit
from tests.e2e.houses import House

BACKGROUND = "getComputedStyle(document.documentElement).backgroundColor"


def lightness(page: Page) -> float:
    """Of the page's background, 0 to 255."""
    parts: list[float] = page.evaluate(f"{BACKGROUND}.match(/[\\d.]+/g).map(Number)")
    return sum(parts[:3]) / 3


def test_the_colours_chosen_once_stay_and_are_there_from_the_first_byte(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/?q=train", color_scheme="light")
    assert lightness(page) > 200
    page.get_by_role("button", name="account menu").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.url.endswith("/sessions/?q=train"), "the choice leads back to where it was made"
    assert lightness(page) < 60

    answer = page.goto("/sessions/new/")
    assert answer is not None
    assert '<html lang="en" data-theme="dark">' in answer.text()
    page.get_by_role("button", name="account menu").click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Auto").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", "dark")
    assert lightness(page) > 200


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_without_a_choice_the_system_decides(visit: Visit, home: House, theme: str) -> None:
    page = visit(home, "ada", "/sessions/", color_scheme=theme)

    assert (lightness(page) < 60) == (theme == "dark")


def test_motion_is_spared_those_who_ask_for_it(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/", reduced_motion="reduce")
    moving = (
        "document.querySelector('main').style.transition = 'opacity 1s'; "
        "getComputedStyle(document.querySelector('main')).transitionDuration"
    )

    assert page.evaluate(moving) == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) == "1s"


@pytest.mark.parametrize("width", [320, 1280])
def test_a_session_prints_as_a_document(visit: Visit, home: House, width: int) -> None:
    page = visit(home, "ada", home.path("locked"), viewport={"width": width, "height": 900})
    settle(page)
    if width == 320:
        page.get_by_text("Sources and last run").click()
    page.emulate_media(media="print")

    expect(page.get_by_role("heading", name="May I take the train?")).to_be_visible()
    for name in ("Sources", "Last run"):
        expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)
    for hidden in (page.locator(".bar"), page.locator(".button").first, page.locator(".skip-link").first):
        expect(hidden).to_be_hidden()
