"""Watching: streams that fail, stop or are blocked; two tabs; what was asked elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_cloud import LlamaCloud
from playwright.sync_api import Route, expect

from tests.e2e.conftest import Visit
from tests.e2e.houses import House, house
from tests.e2e.talk import BOTH, HIDE, LONG, ask, begin, box, brisk_home, ended, open_session
from tests.localcloud.fixtures import RunningLocalcloud, StartLocalcloud
from tests.localcloud.pdf import make_pdf

__all__ = ["brisk_home"]
PART = '<hx-partial hx-target="#turn-1-{}" hx-swap="innerHTML">'
CUT = ("Failed to load resource", "htmx:error", "htmx:sse:error")


def test_a_first_connection_that_fails_is_tried_again(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, expect=CUT)
    tries: list[str] = []

    def fail_twice(route: Route) -> None:
        tries.append(route.request.url)
        if len(tries) <= 2:
            route.abort()
        else:
            route.continue_()

    page.route("**/events/", fail_twice)
    turn = ask(page)
    ended(turn)

    assert len(tries) >= 3
    expect(page.locator("#turn-1-answer")).to_contain_text("trains.md")


def test_a_first_connection_that_is_slow_is_not_made_twice(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    held: list[Route] = []
    page.route("**/events/", lambda route: held.append(route))
    turn = ask(page)
    page.wait_for_timeout(500)
    page.evaluate("document.dispatchEvent(new CustomEvent('corral:visible'))")
    page.wait_for_timeout(500)
    held[0].continue_()
    ended(turn)

    assert len(held) == 1


def test_that_an_answer_broke_off_is_said_until_there_is_more_of_it(visit: Visit, home: House) -> None:
    page = open_session(visit, home, expect=CUT)
    half = f"data: {PART.format('tail')}Half</hx-partial>\n\n"
    broken = f"data: {PART.format('doing')}<span>This answer was interrupted.</span></hx-partial>\n\n"
    more = half.replace("Half", "Half of")
    said: list[str] = []

    def tell(route: Route) -> None:
        said.append(half + broken if len(said) < 3 else half + broken + more)
        route.fulfill(body=said[-1], content_type="text/event-stream", headers={"Cache-Control": "no-store"})

    page.route("**/events/", tell)
    ask(page)
    doing = page.locator("#turn-1-doing")
    expect(doing).to_contain_text("This answer was interrupted")
    while len(said) < 3:
        page.wait_for_timeout(100)
        assert "interrupted" in doing.inner_text(), "the same words again are no more of it"
    expect(doing).to_have_text("Writing…")
    page.unroute("**/events/")


def test_where_streams_are_blocked_the_answer_is_asked_for_again_and_again(visit: Visit, home: House) -> None:
    page = open_session(visit, home, expect=CUT)
    page.route("**/events/", lambda route: route.abort())
    turn = ask(page)
    ended(turn)

    expect(page.locator("#turn-1-answer")).to_contain_text("trains.md")
    expect(page.get_by_role("region", name="Last run").get_by_text("Worked")).to_be_visible()


def test_where_streams_are_held_back_the_answer_is_asked_for_again_and_again(visit: Visit, home: House) -> None:
    page = open_session(visit, home, expect=CUT)
    page.route("**/events/", lambda route: None)  # a proxy that waits for the end
    turn = ask(page)
    expect(turn).to_have_attribute("hx-trigger", "every 2s", timeout=20_000)
    ended(turn)

    expect(page.locator("#turn-1-answer")).to_contain_text("trains.md")


def test_two_tabs_see_the_same(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    first = ask(page)
    other = visit(home, "ben", page.url)
    second = other.locator("#turn-1")
    ended(first)
    ended(second)

    assert page.locator("#turn-1-answer").inner_html() == other.locator("#turn-1-answer").inner_html()
    assert page.locator("#turn-1-steps > li").count() == other.locator("#turn-1-steps > li").count()


def test_who_has_the_session_open_learns_of_somebody_elses_question_within_seconds(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    other = visit(home, "ben", page.url)
    other.locator("#prompt").fill("What else?")
    asked = ask(page)

    # The regions renew themselves every 30 seconds.
    seen = other.locator("#turn-1")
    expect(seen).to_be_visible(timeout=10_000)
    expect(other.locator("#job-region").get_by_text("Running")).to_be_visible()
    expect(other.locator("#sources-region")).to_contain_text("stay as they are")
    expect(other.locator(".first")).to_be_hidden()
    expect(other.get_by_text("These sources lock with your first question.")).to_be_hidden()
    expect(other.locator("#prompt")).to_have_value("What else?")
    ended(asked)
    ended(seen)


def test_looking_for_others_questions_does_not_bring_ones_own_a_second_time(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    held: list[Route] = []
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if request.url.endswith("/events/") else None)
    page.route("**/newer/**", lambda route: held.append(route) if not held else route.continue_())
    while not held:
        page.wait_for_timeout(200)
    turn = ask(page)
    held[0].continue_()
    ended(turn)

    # Two more looks have come by then.
    page.wait_for_timeout(6_000)
    expect(page.locator("[data-turn]")).to_have_count(1)
    assert len(streams) == 1


def test_a_reload_in_the_middle_loses_nothing(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    turn = ask(page)
    page.locator("#turn-1-live").get_by_text("Quoted word").wait_for()
    page.reload()
    expect(page.locator("#turn-1-live")).to_contain_text("Quoted word")
    ended(turn)

    expect(page.locator("#turn-1-answer")).to_contain_text("trains.md")


def test_a_stopped_answer_keeps_what_came_and_can_be_asked_again(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    turn = ask(page)
    page.locator("#turn-1-live").get_by_text("Quoted word").wait_for()
    turn.get_by_role("button", name="Stop").click()
    ended(turn, "stopped")

    expect(turn.get_by_text("This answer was stopped by")).to_be_visible()
    expect(turn).to_contain_text("Quoted word")
    # LlamaCloud finishes it all the same, and answers one question at a time: the next one waits for that.
    turn.get_by_role("button", name="Ask again").click()
    page.locator("#turn-2").wait_for()
    ended(page.locator("#turn-2"))


def test_who_is_elsewhere_when_somebody_stops_the_answer_stays_there(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    turn = ask(page)
    other = visit(home, "ben", page.url)
    other.locator("#turn-1-live").get_by_text("Quoted word").wait_for()
    other.get_by_role("button", name="Stop").click()
    ended(turn, "stopped")
    page.wait_for_timeout(300)

    expect(box(page)).to_be_focused()


def test_the_page_of_one_turn_is_left_for_the_one_that_is_asked_again(visit: Visit, home: House) -> None:
    page = open_session(visit, home)
    turn = ask(page)
    page.goto(f"{page.url.split('#')[0].split('?')[0]}turns/1/")
    turn.get_by_role("button", name="Stop").click()
    ended(turn, "stopped")

    turn.get_by_role("button", name="Ask again").click()

    page.wait_for_url("**/turns/2/")
    ended(page.locator("#turn-2"))


def test_asking_again_while_another_answer_runs_leaves_what_is_typed(visit: Visit, home: House) -> None:
    page = open_session(visit, home, expect=CUT)
    first = ask(page)
    page.locator("#turn-1-live").get_by_text("Quoted word").wait_for()
    first.get_by_role("button", name="Stop").click()
    ended(first, "stopped")
    second = ask(page, "How hot is the oven?")
    box(page).fill("Half a question")
    again = first.get_by_role("button", name="Ask again")
    again.click()

    expect(page.get_by_role("alert")).to_contain_text("still answering another question")
    expect(box(page)).to_have_value("Half a question")
    expect(again).to_be_focused()
    ended(second)
    expect(page.get_by_text("still answering another question")).to_have_count(0)
    page.reload()
    expect(box(page)).to_have_value("Half a question")


def test_who_has_the_focus_on_stop_when_the_answer_ends_is_on_its_turn(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home, viewport={"width": 400, "height": 480})
    ended(ask(page))
    second = ask(page)
    second.get_by_role("button", name="Stop").focus()
    page.evaluate("scrollTo(0, 0)")
    ended(second)

    expect(second).to_be_focused()
    assert page.evaluate("scrollY") == 0


def test_who_has_the_focus_nowhere_is_left_alone(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    turn = ask(page)
    page.evaluate("document.activeElement.blur()")
    ended(turn)

    assert page.evaluate("document.activeElement === document.body")


def test_what_was_asked_elsewhere_comes_into_the_open_page(visit: Visit, home: House, cloud: RunningLocalcloud) -> None:
    page = open_session(visit, home)
    page.evaluate("window.__sameDocument = true")
    session_id = page.url.rstrip("/").rpartition("/")[2]
    with LlamaCloud(api_key=cloud.api_key, base_url=cloud.base_url) as sdk:
        bound = sdk.chat.retrieve(session_id).index_ids or []
        with sdk.chat.with_streaming_response.stream(session_id, prompt=LONG, index_ids=bound) as response:
            for _ in response.iter_lines():
                pass
    page.wait_for_timeout(4_500)
    page.evaluate("document.dispatchEvent(new CustomEvent('corral:visible'))")
    turn = page.locator("#turn-1")
    turn.wait_for()

    expect(turn).to_contain_text(LONG)
    expect(turn.get_by_text("Read for this answer")).to_be_visible()
    expect(page.get_by_text("Ask a question in your own words.")).to_be_hidden()
    assert page.evaluate("window.__sameDocument")


@pytest.fixture(scope="module")
def paged_home(start_cloud: StartLocalcloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose one source has pages."""
    cloud = start_cloud(documents={"Manual/boiler.pdf": make_pdf("The boiler is drained in May", "The valve is brass")})
    with house(tmp_path_factory.mktemp("paged"), cloud.base_url, cloud.api_key, sessions={}) as started:
        yield started


def test_a_cited_page_is_fetched_and_shown_on_a_click(visit: Visit, paged_home: House, tmp_path: Path) -> None:
    page = visit(paged_home, "ada", "")
    begin(page, "Manual")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    turn = ask(page, "When is the boiler drained?")
    ended(turn)
    link = turn.get_by_role("link", name="See the page")
    link.wait_for()
    assert not [url for url in asked if "/images/" in url]
    link.click()
    picture = page.get_by_role("dialog").get_by_role("img")
    picture.wait_for()
    page.wait_for_function("() => document.querySelector('dialog img').naturalWidth > 0")

    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(link).to_be_focused()
    assert all(url.startswith(paged_home.url) for url in asked)


def test_on_a_phone_nothing_is_squeezed(visit: Visit, paged_home: House) -> None:
    page = visit(paged_home, "ada", "", viewport={"width": 320, "height": 640})
    begin(page, "Manual")
    turn = ask(page, "When is the boiler drained?")
    ended(turn)
    link = turn.get_by_role("link", name="See the page")
    assert link.evaluate("it => it.offsetHeight") >= 24
    link.evaluate("it => { it.dataset.pageImage = 'The manual of the boiler '.repeat(4); }")
    link.click()
    close = page.get_by_role("button", name="Close")

    lines = """button => {
      const range = new Range();
      range.selectNodeContents(button);
      return range.getClientRects().length;
    }"""
    assert close.evaluate(lines) == 1
    page.wait_for_function("() => document.querySelector('dialog img').naturalWidth > 0")
    picture, box_of_close = page.get_by_role("dialog").get_by_role("img").bounding_box(), close.bounding_box()
    assert picture is not None
    assert picture["width"] >= 600, "a page is wide enough to be read, and is moved about"
    assert box_of_close is not None
    assert box_of_close["x"] + box_of_close["width"] <= 320
    dot = """turn => {
      const line = document.createElement("p");
      Object.assign(line, {className: "doing", textContent: "No connection. ".repeat(9)});
      turn.append(line);
      return getComputedStyle(line, "::before").inlineSize;
    }"""
    assert turn.evaluate(dot) == "8px"


def test_a_question_that_had_to_wait_is_free_when_the_answer_is_there(visit: Visit, home: House) -> None:
    page = open_session(visit, home, expect=CUT)
    turn = ask(page)
    hint = page.get_by_text("Wait for this answer")
    expect(hint).to_be_visible()
    box(page).fill("And another one?")
    page.get_by_role("button", name="Ask", exact=True).click()
    waiting = page.get_by_text("still answering another question")
    expect(waiting).to_be_visible()
    ended(turn)

    expect(waiting).to_have_count(0)
    expect(hint).to_be_hidden()
    expect(box(page)).to_have_value("And another one?")
    expect(box(page)).not_to_have_attribute("aria-invalid", "true")


def test_the_title_llamacloud_made_of_the_question_comes_with_the_answer(visit: Visit, brisk_home: House) -> None:
    page = open_session(visit, brisk_home)
    expect(page.get_by_role("heading", level=1)).to_have_text("Untitled session")
    ended(ask(page))

    expect(page.get_by_role("heading", level=1)).not_to_have_text("Untitled session", timeout=15_000)


@pytest.mark.system
def test_ten_tabs_are_all_answered_over_the_six_connections_a_browser_has(visit: Visit, brisk_home: House) -> None:
    first = open_session(visit, brisk_home)
    tabs = [first]
    while True:
        ask(tabs[-1])
        if len(tabs) == 10:
            break
        tabs[-1].evaluate(HIDE, True)
        tabs.append(first.context.new_page())
        begin(tabs[-1], *BOTH)

    ended(tabs[-1].locator("#turn-1"))
    for page in tabs[:-1]:
        expect(page).to_have_title(re.compile("^● Answer ready"))
        page.evaluate(HIDE, False)
        ended(page.locator("#turn-1"))
        expect(page.locator("#turn-1-answer")).to_contain_text("trains.md")
