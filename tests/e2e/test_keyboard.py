"""The keyboard alone: Tab, Space, Enter and letters; the mouse is never touched."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import NARROW, focus_is_visible, focused, settle, tab_to
from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.e2e.seed import PASSWORD


def test_a_person_signs_in_chooses_two_sources_and_creates_a_session(visit: Visit, home: House) -> None:
    page = visit(home, "", "/accounts/login/")
    tab_to(page, "Username")
    page.keyboard.type("ada")
    tab_to(page, "Password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/sessions/")
    tab_to(page, "New session")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sessions/new/")
    for name in ("Garden notes", "Travel policy"):
        tab_to(page, name)
        page.keyboard.press("Space")
        assert name in focused(page), "a tick must not move the focus"
    tab_to(page, "Create session")
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Last run").wait_for()

    sources = page.get_by_role("region", name="Sources", exact=True)
    expect(sources).to_contain_text("Not locked yet")
    expect(sources.get_by_role("listitem")).to_have_text(["Garden notes Ready", "Travel policy Ready"])


def test_the_skip_link_is_the_first_stop_and_skips_the_navigation(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/")
    page.keyboard.press("Tab")
    assert focused(page) == "a Skip to the content"
    assert focus_is_visible(page)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_two_stops_lead_to_the_question(visit: Visit, home: House) -> None:
    page = visit(home, "ada", home.path("locked"))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert focused(page) == "a Skip to your question"
    assert focus_is_visible(page)
    page.keyboard.press("Enter")
    page.keyboard.type("When")

    expect(page.get_by_label("Your question")).to_have_value("When")


def test_what_is_wrong_with_a_form_gets_the_focus_and_leads_to_the_field(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/", expect=("Failed to load resource",))
    tab_to(page, "Create session")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    assert "There is a problem" in focused(page)
    page.keyboard.press("Tab")
    assert "Choose at least one source" in focused(page)
    page.keyboard.press("Enter")

    expect(page.locator("[name=index_ids]").first).to_be_focused()
    assert page.title().startswith("Problem: ")
    page.keyboard.press("Space")
    expect(page.get_by_text("There is a problem")).to_have_count(0)
    assert page.title().startswith("New session")


@pytest.mark.parametrize("path", ["/sessions/", "/sessions/new/", "locked", "unbound"])
def test_no_stop_on_a_phone_is_hidden_behind_the_navigation(visit: Visit, home: House, path: str) -> None:
    page = visit(home, "ada", home.path(path) if path.isalpha() else path, viewport={"width": NARROW, "height": 560})
    settle(page)
    stops = 0
    page.keyboard.press("Tab")
    while focused(page) and stops < 80:
        assert focus_is_visible(page), f"the focus cannot be seen on {focused(page)!r}"
        stops += 1
        page.keyboard.press("Tab")

    assert 8 < stops < 80


def test_typing_in_the_search_narrows_the_list_and_keeps_the_focus(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/")
    tab_to(page, "Search titles")
    page.keyboard.type("roses")
    expect(rows(page)).to_have_count(1)

    assert "Search titles" in focused(page)
    expect(page).to_have_url(f"{home.url}/sessions/?q=roses")


def test_escape_closes_the_account_menu_and_returns_the_focus(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/")
    tab_to(page, "account menu")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Sign out").wait_for()
    tab_to(page, "Sign out")
    page.keyboard.press("Escape")

    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    assert "account menu" in focused(page)


def rows(page: Page) -> Locator:
    return page.get_by_role("table").locator("tbody tr")
