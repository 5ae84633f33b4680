"""One wish, one session: double clicks, the way back, forms in two tabs, and who is quicker than the scripts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.browser import announced, settle
from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.faulty import FaultyServer, rate_limited
from tests.localcloud.fixtures import RunningLocalcloud

CREATED = "**/sessions/ses-*/"


def fill(page: Page) -> None:
    page.get_by_role("checkbox", name="Garden notes").check()


def submit(page: Page) -> str:
    """Create the session; answers its address."""
    page.get_by_role("button", name="Create session").click()
    page.get_by_role("region", name="Last run").wait_for()
    return page.url


def creations(cloud: RunningLocalcloud) -> int:
    return len(cloud.got("POST", "/api/v1/chat"))


def test_a_double_click_makes_one_session(visit: Visit, home: House, cloud: RunningLocalcloud) -> None:
    page = visit(home, "ada", "/sessions/new/")
    fill(page)
    before = creations(cloud)
    page.get_by_role("button", name="Create session").dblclick()
    page.wait_for_url(CREATED)
    settle(page)

    assert creations(cloud) == before + 1


def test_the_button_says_what_it_does_and_takes_no_second_press(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/")
    fill(page)
    page.evaluate(
        """() => {
          window.__stopped = [];
          addEventListener("submit", (event) => {
            window.__stopped.push(event.defaultPrevented);
            event.preventDefault();  // or the page would be gone before it can be looked at
          });
        }"""
    )
    page.get_by_role("button", name="Create session").click()
    busy = page.get_by_role("button", name="Creating…")
    expect(busy).to_have_attribute("aria-disabled", "true")
    busy.dispatch_event("click")

    assert page.evaluate("window.__stopped") == [False, True]


def test_going_back_and_submitting_again_leads_to_the_same_session(
    visit: Visit, home: House, cloud: RunningLocalcloud
) -> None:
    page = visit(home, "ada", "/sessions/new/")
    fill(page)
    before = creations(cloud)
    first = submit(page)
    page.go_back(wait_until="load")
    page.get_by_role("button", name="Create session").wait_for()
    second = submit(page)

    assert second == first
    assert creations(cloud) == before + 1


def test_going_back_and_choosing_otherwise_makes_another_session(
    visit: Visit, home: House, cloud: RunningLocalcloud
) -> None:
    page = visit(home, "ada", "/sessions/new/")
    fill(page)
    first = submit(page)
    page.go_back(wait_until="load")
    page.get_by_role("checkbox", name="Kitchen manual").check()

    assert submit(page) != first
    expect(page.get_by_role("region", name="Sources", exact=True)).to_contain_text("Kitchen manual")


def test_one_form_sent_from_two_tabs_makes_one_session(visit: Visit, home: House, cloud: RunningLocalcloud) -> None:
    one, other = visit(home, "ada", "/sessions/new/"), visit(home, "ada", "/sessions/new/")
    token = one.locator("[name=idempotency_token]").input_value()
    other.locator("[name=idempotency_token]").evaluate("(field, token) => { field.value = token; }", token)
    before = creations(cloud)
    for page in (one, other):
        fill(page)

    assert submit(one) == submit(other)
    assert creations(cloud) == before + 1


def test_two_forms_in_two_tabs_make_two_sessions(visit: Visit, home: House) -> None:
    one, other = visit(home, "ada", "/sessions/new/"), visit(home, "ada", "/sessions/new/")
    for page in (one, other):
        fill(page)

    assert submit(one) != submit(other)


def test_a_wait_is_counted_down_and_then_the_same_form_makes_the_session(
    visit: Visit, faulty_home: House, faulty_cloud: FaultyServer
) -> None:
    faulty_cloud.script("POST", "/api/v1/chat", [rate_limited(retry_after="20")])
    page = visit(faulty_home, "ada", "/sessions/new/", expect=("Failed to load resource",))
    page.clock.install()
    page.get_by_role("checkbox", name="Reports").check()
    page.get_by_role("button", name="Create session").click()
    expect(page.locator("[data-countdown]")).to_have_text("20 seconds")
    expect(page.get_by_role("button", name="Create session")).to_be_disabled()

    page.clock.run_for(19_000)
    expect(page.locator("[data-countdown]")).to_have_text("1 second")
    expect(page.get_by_role("button", name="Create session")).to_be_disabled()

    page.clock.run_for(2_000)
    announced(page, "You can try again now.")
    page.get_by_role("button", name="Create session").click()
    page.wait_for_url(CREATED)


def held_back(visit: Visit, house: House, path: str) -> tuple[Page, list[Route]]:
    """A page whose scripts are on their way, and what lets them come."""
    page = visit(house, "ada", "")
    held: list[Route] = []
    page.route("**/static/js/app*", lambda route: held.append(route))  # Playwright takes no built-in
    Page.goto(page, path)  # without waiting for scripts
    return page, held


def test_enter_in_the_search_creates_nothing_before_the_scripts_have_come(visit: Visit, home: House) -> None:
    page, _ = held_back(visit, home, "/sessions/new/")
    page.get_by_role("checkbox", name="Travel policy").check()
    page.get_by_label("Search names").fill("garden")
    page.get_by_label("Search names").press("Enter")
    page.wait_for_url(re.compile("find=garden"))

    expect(page.get_by_role("checkbox", name="Travel policy")).to_be_checked()


def test_what_was_typed_before_the_scripts_came_is_searched_for(visit: Visit, home: House) -> None:
    page, held = held_back(visit, home, "/sessions/new/")
    page.get_by_label("Search names").fill("garden")
    with page.expect_response(re.compile("/static/js/app")):
        page.wait_for_timeout(100)
        for route in held:
            route.continue_()

    expect(page.get_by_role("checkbox", name="Travel policy")).to_be_hidden()
    expect(page.get_by_role("checkbox", name="Garden notes")).to_be_visible()


@pytest.mark.parametrize("early", ["locked", ""])
def test_a_filter_chosen_before_the_scripts_came_is_applied_and_none_else(
    visit: Visit, home: House, early: str
) -> None:
    page, held = held_back(visit, home, "/sessions/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Status").select_option(early)
    with page.expect_response(re.compile("/static/js/app")):
        page.wait_for_timeout(100)
        for route in held:
            route.continue_()
    page.wait_for_timeout(1500)

    assert any("state=locked" in url for url in asked) is bool(early)
    assert len([url for url in asked if "/sessions/" in url]) == 1 + bool(early), "the list renews itself once anyway"
