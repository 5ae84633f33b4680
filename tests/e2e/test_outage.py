"""The connection goes and comes back: what is said, where it is said, when it goes again, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.browser import announced
from tests.e2e.conftest import Visit
from tests.e2e.houses import COOKIE, House
from tests.e2e.talk import LONG, ask, box, brisk_home, ended, open_session, paced_house
from tests.e2e.way import Way
from tests.localcloud.fixtures import StartLocalcloud

__all__ = ["brisk_home"]
CUT = ("Failed to load resource", "htmx:error", "htmx:sse:error", "net::ERR")
LOST = "No connection. The answer goes on without this page."
UNANSWERED = "Corral did not answer. Try again in a moment."
KEPT = "Corral did not answer. Your question is kept: try again in a moment."
PAUSE = """delay => Object.assign(document.querySelector("[data-live]")._htmx.sse.config, {
  reconnectDelay: delay,
  reconnectJitter: 0,
})"""
"""How long the extension waits before it takes a stream up again."""
SELDOM = 60_000
"""Whatever comes back earlier was not brought by the extension's own next try."""
WATCH_THE_LINE = """() => {
  window.__lines = [];
  const note = () => window.__lines.push(document.getElementById("turn-1-doing")?.textContent ?? "");
  new MutationObserver(note).observe(document.getElementById("turn-1"), {childList: true, subtree: true});
}"""


@pytest.fixture(scope="module")
def slow_home(start_cloud: StartLocalcloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose answers take long enough to lose the connection in their middle."""
    with paced_house(start_cloud, tmp_path_factory, 0.4) as built:
        yield built


def grows(page: Page) -> None:
    """Wait until the answer's words have begun to come."""
    page.locator("#turn-1-live").get_by_text("Quoted word").wait_for()


def is_whole(page: Page) -> None:
    """What was seen growing is what a reload shows: no part is missing, and none is there twice."""
    ended(page.locator("#turn-1"))
    grown = page.locator("#turn-1-answer").inner_text().split()
    page.reload()
    assert page.locator("#turn-1-answer").inner_text().split() == grown


@pytest.fixture
def way(slow_home: House) -> Iterator[Way]:
    """The way to that house."""
    with Way(slow_home) as made:
        yield made


@pytest.mark.parametrize(("loses", "delay"), [(Way.cut, SELDOM), (Way.silence, 500)], ids=["cut", "silent"])
def test_a_lost_connection_is_said_and_the_stream_is_taken_up_as_soon_as_it_is_back(
    visit: Visit, way: Way, loses: Callable[[Way], None], delay: int
) -> None:
    page = open_session(visit, way.house, expect=CUT)
    ask(page)
    grows(page)
    page.evaluate(PAUSE, delay)
    page.context.set_offline(True)
    loses(way)
    doing = page.locator("#turn-1-doing")
    expect(doing).to_have_text(LOST, timeout=5_000)
    announced(page, LOST)
    page.wait_for_timeout(3_000)

    way.mend()
    page.context.set_offline(False)

    expect(doing).to_have_text("Writing…", timeout=5_000)
    expect(page.locator("#turn-1-live")).to_have_attribute("data-streams", "")
    is_whole(page)


def test_neither_a_moment_nor_an_end_in_good_order_is_called_a_lost_connection(visit: Visit, way: Way) -> None:
    page = open_session(visit, way.house, expect=CUT)
    ask(page)
    grows(page)
    page.evaluate(WATCH_THE_LINE)
    with page.expect_response("**/events/"):
        way.cut()
        way.mend()
    page.wait_for_timeout(2_500)
    page.evaluate(PAUSE, 3_000)
    with page.expect_response("**/events/"):
        page.evaluate("document.querySelector('[data-live]')._htmx.sse.reader.cancel()")
    page.wait_for_timeout(500)

    assert LOST not in page.evaluate("window.__lines")
    is_whole(page)


def test_corral_s_own_word_that_too_many_watch_is_not_called_a_lost_connection(visit: Visit, way: Way) -> None:
    page = open_session(visit, way.house, expect=CUT)
    turn = ask(page)
    grows(page)
    page.evaluate(WATCH_THE_LINE)
    page.route("**/events/", lambda route: route.fulfill(status=503))
    page.evaluate("document.querySelector('[data-live]')._htmx.sse.reader.cancel()")
    expect(turn).to_have_attribute("hx-trigger", "every 2s", timeout=20_000)

    assert LOST not in page.evaluate("window.__lines")
    is_whole(page)


def test_a_connection_that_was_lost_unnoticed_is_looked_for_until_it_is_back(visit: Visit, way: Way) -> None:
    page = open_session(visit, way.house, expect=CUT)
    ask(page)
    grows(page)
    page.evaluate(PAUSE, SELDOM)
    way.cut()
    doing = page.locator("#turn-1-doing")
    expect(doing).to_have_text(LOST, timeout=5_000)
    page.wait_for_timeout(6_000)  # the answer was asked for without a stream meanwhile, in vain
    expect(doing).to_have_text(LOST)

    way.mend()

    expect(doing).to_have_text("Writing…", timeout=10_000)
    way.cut()
    expect(doing).to_have_text(LOST, timeout=6_000)  # also where there is no stream
    way.mend()
    expect(doing).to_have_text("Writing…", timeout=6_000)
    is_whole(page)


def test_a_stop_that_does_not_get_through_says_so_beside_the_button(visit: Visit, slow_home: House) -> None:
    page = open_session(visit, slow_home, expect=CUT)
    turn = ask(page)
    grows(page)
    page.route("**/stop/", lambda route: route.abort())
    stop = turn.get_by_role("button", name="Stop")
    stop.click()
    expect(turn.locator(".turn-actions")).to_contain_text(UNANSWERED)
    announced(page, UNANSWERED)
    expect(stop).to_have_text("Stop")
    expect(page.locator("#problem")).to_be_hidden()

    page.unroute("**/stop/")
    held: list[Route] = []
    page.route("**/stop/", lambda route: held.append(route))
    stop.click()
    expect(turn.get_by_text(UNANSWERED)).to_be_hidden()
    expect(turn.get_by_role("button", name="Stopping…")).to_have_attribute("aria-disabled", "true")
    held[0].fulfill(status=204)
    page.wait_for_timeout(500)
    expect(turn.get_by_role("button", name="Stopping…")).to_be_visible()  # until the answer has ended

    page.unroute("**/stop/")
    turn.get_by_role("button", name="Stopping…").press("Enter")
    ended(turn, "stopped")


def test_what_could_not_be_sent_is_said_in_the_composer_until_there_is_a_connection(
    visit: Visit, brisk_home: House
) -> None:
    page = open_session(visit, brisk_home, expect=CUT)
    page.context.set_offline(True)
    box(page).fill(LONG)
    page.get_by_role("button", name="Ask", exact=True).click()
    said = page.locator("#composer").get_by_text(KEPT)
    expect(said).to_be_visible()
    expect(page.locator("#problem")).to_be_hidden()
    expect(box(page)).to_have_value(LONG)

    page.context.set_offline(False)

    page.wait_for_timeout(1_000)
    expect(said).to_be_visible()  # long enough to be read
    expect(said).to_be_hidden(timeout=6_000)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("article")).to_have_count(1)


@pytest.mark.parametrize(("status", "passes"), [(502, True), (500, False)])
def test_a_failure_that_may_have_passed_goes_when_corral_answers_anything(
    visit: Visit, brisk_home: House, status: int, passes: bool
) -> None:
    page = open_session(visit, brisk_home, expect=CUT)
    page.route("**/turns/", lambda route: route.fulfill(status=status, body="<h1>Bad</h1>"))
    box(page).fill(LONG)
    box(page).press("Enter")
    said = page.locator("#composer").get_by_text(KEPT)
    expect(said).to_be_visible()
    page.wait_for_timeout(4_500)
    expect(said).to_be_visible()

    with page.expect_response("**/job/?seen=*"):
        page.evaluate("document.dispatchEvent(new CustomEvent('corral:visible'))")

    page.wait_for_timeout(300)
    assert said.is_visible() is not passes
    page.unroute("**/turns/")
    ask(page)
    expect(said).to_have_count(0)


def test_a_filter_that_is_not_answered_says_so_above_the_page(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/", expect=CUT)
    page.route("**/sessions/?*", lambda route: route.abort())
    page.get_by_label("Search titles").fill("roses")

    expect(page.locator("#problem")).to_have_text(UNANSWERED)
    expect(page.locator("#problem")).to_be_in_viewport()


def test_a_page_whose_cookies_are_gone_is_loaded_again_with_the_question(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, expect=CUT)
    box(page).fill(LONG)
    page.context.clear_cookies()
    box(page).press("Enter")
    composer = page.locator("#composer")
    expect(composer).to_contain_text("This page was open too long, so nothing was sent.")
    expect(composer).not_to_contain_text("in a moment")
    page.context.add_cookies([{"name": COOKIE, "value": brisk_home.cookies["ada"], "url": brisk_home.url}])
    with page.expect_navigation():
        page.get_by_role("button", name="Load the page again").click()

    expect(box(page)).to_have_value(LONG)
    box(page).press("Enter")
    page.locator("#turn-1").wait_for()


def test_steps_that_could_not_be_fetched_are_fetched_by_the_next_opening_and_only_once(
    visit: Visit, brisk_home: House
) -> None:
    page = open_session(visit, brisk_home, expect=CUT)
    ended(ask(page))
    page.reload()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.route("**/steps/", lambda route: route.abort())
    line, step = page.locator("#turn-1-steps-line"), page.locator("#turn-1 .step").first
    line.click()
    expect(page.get_by_role("link", name="Show the steps")).to_be_visible()
    said = page.locator("#turn-1-unfold .field-error")
    expect(said).to_have_text(UNANSWERED)
    announced(page, UNANSWERED)
    line.click()
    page.unroute("**/steps/")
    line.click()
    expect(step).to_be_visible()
    expect(said).to_be_hidden()
    asked.clear()
    line.click()
    line.click()
    expect(step).to_be_visible()

    assert not [path for path in asked if path.endswith("/steps/")]


@pytest.mark.parametrize(
    ("status", "words"), [(500, UNANSWERED), (404, "This can’t be shown any more. Load the page again")]
)
def test_steps_that_were_refused_say_so_until_they_are_there(
    visit: Visit, brisk_home: House, status: int, words: str
) -> None:
    page = open_session(visit, brisk_home, expect=CUT)
    ended(ask(page))
    page.reload()
    page.route("**/steps/", lambda route: route.fulfill(status=status, body="<!DOCTYPE html><p>No.</p>"))
    line, said = page.locator("#turn-1-steps-line"), page.locator("#turn-1-unfold .field-error")
    line.click()
    expect(said).to_have_text(words)
    page.unroute("**/steps/")
    line.click()
    line.click()

    expect(page.locator("#turn-1 .step").first).to_be_visible()
    expect(said).to_be_hidden(timeout=2_000)


def test_what_a_page_reads_by_itself_does_not_hide_what_could_not_be_sent(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, expect=CUT)
    page.route("**/turns/", lambda route: route.abort())
    box(page).fill(LONG)
    box(page).press("Enter")
    said = page.locator("#composer-problem")
    expect(said).to_contain_text(KEPT)
    page.evaluate(
        """() => document.dispatchEvent(
          new CustomEvent("corral:problem", { detail: { form: null, status: 500, isRead: true } })
        )"""
    )

    expect(said).to_contain_text(KEPT)
    expect(page.locator("#problem")).to_be_hidden()
