"""JavaScript switched off: everything still works by plain forms and links."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.e2e.seed import PASSWORD


def chosen(page: Page) -> set[str]:
    boxes = page.get_by_role("checkbox", checked=True)
    return {box.evaluate("box => box.closest('li').querySelector('bdi').textContent") for box in boxes.all()}


def test_from_sign_in_to_deletion(visit: Visit, home: House) -> None:
    page = visit(home, "", "/sessions/", java_script_enabled=False)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="New session").first.click()

    page.get_by_role("checkbox", name="Garden notes").check()
    page.get_by_label("Search names").fill("oven kitchen")
    page.get_by_role("button", name="Show sources").click()
    assert chosen(page) == {"Garden notes"}
    page.get_by_label("Search names").fill("kitchen")
    page.get_by_label("Search names").press("Enter")
    page.get_by_role("checkbox", name="Kitchen manual").check()
    expect(page.get_by_role("checkbox", name="Shelf 01")).to_have_count(0)
    assert chosen(page) == {"Garden notes", "Kitchen manual"}
    page.get_by_role("button", name="Create session").click()
    sources = page.get_by_role("region", name="Sources", exact=True).get_by_role("listitem")
    expect(sources).to_have_text([re.compile("Garden notes"), re.compile("Kitchen manual")])

    page.get_by_role("link", name="Rename").click()
    page.get_by_label("Title").fill("Written without scripts")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Written without scripts")

    page.goto("/sessions/")
    page.get_by_label("Search titles").fill("without scripts")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("table").get_by_role("link")).to_have_text(["Written without scripts"])
    page.get_by_role("table").get_by_role("link").click()

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete session").click()
    expect(page.get_by_role("status").first).to_contain_text("The session was deleted.")
    expect(page.get_by_role("link", name="Written without scripts")).to_have_count(0)


def test_the_list_is_filtered_by_source_and_state(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/", java_script_enabled=False)
    page.get_by_label("Source", exact=True).select_option("Garden notes")
    page.get_by_label("Status").select_option("Failed")
    page.get_by_role("button", name="Apply").click()

    expect(page.get_by_role("table").get_by_role("link")).to_have_text(["When are roses pruned?"])


def test_a_missing_choice_is_told_and_the_rest_is_kept(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/", java_script_enabled=False, expect=("Failed to load resource",))
    page.get_by_label("Sharing").select_option("By link: read and ask")
    page.get_by_role("button", name="Create session").click()

    expect(page.get_by_role("alert")).to_contain_text("Choose at least one source")
    expect(page.get_by_label("Sharing")).to_have_value("query")


def test_colours_are_chosen(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/", java_script_enabled=False)
    page.get_by_role("button", name="account menu").click()
    page.get_by_role("button", name="Dark").click()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
