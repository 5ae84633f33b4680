"""Open pages become true by themselves, never jump, and are silent while nobody looks.

The page's clock is Playwright's: half a minute of waiting for the next poll passes at once.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from llama_cloud import LlamaCloud
from playwright.sync_api import Page, expect

from tests.e2e.browser import focused
from tests.e2e.conftest import Visit
from tests.e2e.houses import House
from tests.e2e.talk import asking
from tests.localcloud.fixtures import RunningLocalcloud
from tests.processes import PATIENCE

POLL = 31_000
"""Milliseconds after which an open page has asked again."""
BOXES = """() => [...document.querySelectorAll("main :is(h1, h2, h3, a, dt, dd, li, p, button, tr)")].map((it) => {
  const {x, y, width, height} = it.getBoundingClientRect();
  return [x, y, width, height];
})"""


def let_time_pass_until(page: Page, is_true: Callable[[], bool]) -> None:
    """Let half minutes pass on the page until it shows what is awaited."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        half_a_minute(page)
        if is_true():
            return
        time.sleep(0.3)  # what is awaited takes its own time, which is not the page's
    raise AssertionError(f"never became true:\n{page.locator('main').inner_text()}")


def half_a_minute(page: Page, times: int = 1) -> None:
    """Let the time of a poll pass, and wait until the page waits for no answer."""
    for _ in range(times):
        expect(page.locator(".htmx-request")).to_have_count(0)
        page.clock.fast_forward(POLL)
        # A request that has only just begun must not be overtaken by the next half minute: it would time out.
        time.sleep(0.2)
        expect(page.locator(".htmx-request")).to_have_count(0)


def open_still(visit: Visit, house: House, path: str) -> Page:
    """Open a page whose clock is ours, wait until it has revalidated itself, and mark it, to notice a reload."""
    page = visit(house, "ada", "")
    page.clock.install()
    page.goto(path, wait_until="networkidle")
    page.evaluate("window.__sameDocument = true")
    return page


def test_a_question_asked_elsewhere_shows_without_a_reload(visit: Visit, home: House, cloud: RunningLocalcloud) -> None:
    index = cloud.index_ids()
    with LlamaCloud(api_key=cloud.api_key, base_url=cloud.base_url) as sdk:
        session_id = sdk.chat.create(index_ids=[index["Travel policy"], index["Kitchen manual"]]).session_id
    listing = open_still(visit, home, "/sessions/")
    page = open_still(visit, home, f"/sessions/{session_id}/")
    sources, run = page.get_by_role("region", name="Sources", exact=True), page.get_by_role("region", name="Last run")
    expect(sources).to_contain_text("Not locked yet")
    expect(run).to_contain_text("No answer yet")
    page.get_by_role("link", name="New session with other sources").focus()

    tag = secrets.token_hex(3)
    prompt = f"{tag}: is a refund for a cancelled train paid, and how hot is the oven?"
    with asking(cloud, session_id, prompt):
        let_time_pass_until(page, lambda: run.get_by_text("Running").is_visible())
        expect(sources.get_by_text("Locked", exact=True)).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_contain_text("refund")
    let_time_pass_until(page, lambda: run.get_by_text("Worked").is_visible())

    expect(run).to_contain_text(re.compile(r"[1-9][\d,]* read · [1-9][\d,]* written"))
    expect(run).to_contain_text("1 question")
    expect(page).to_have_title(re.compile("refund"))
    assert "New session with other sources" in focused(page), "a region that renews itself keeps the focus"
    assert page.evaluate("window.__sameDocument")

    row = listing.get_by_role("row").filter(has_text=tag)
    let_time_pass_until(listing, lambda: row.get_by_text("Worked").is_visible())
    expect(row).to_contain_text("Locked")
    assert listing.evaluate("window.__sameDocument")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("locked", ["/job/", "/newer/", "/lock/"]),
        ("failed", ["/job/", "/newer/", "/lock/"]),
        ("/sessions/", ["/sessions/"]),
    ],
)
def test_a_poll_that_brings_nothing_new_moves_nothing(visit: Visit, home: House, path: str, asked: list[str]) -> None:
    page = open_still(visit, home, home.path(path) if path.isalpha() else path)
    answers: list[tuple[str, int]] = []
    page.on("response", lambda answer: answers.append((urlsplit(answer.url).path, answer.status)))
    # A poll may bring something once more, for instance that LlamaCloud could not be asked a moment ago.
    for _ in range(4):
        answers.clear()
        before = page.evaluate(BOXES)
        with page.expect_response(f"**{asked[0]}?seen=*"), page.expect_response(f"**{asked[-1]}?seen=*"):
            half_a_minute(page)
        if {status for _, status in answers} == {204}:
            break

    assert {(url[url.rstrip("/").rindex("/") :], status) for url, status in answers} == {(url, 204) for url in asked}
    after = page.evaluate(BOXES)
    assert len(after) == len(before)
    moved = max(
        abs(new - old) for was, now in zip(before, after, strict=True) for old, new in zip(was, now, strict=True)
    )
    assert moved <= 1


@pytest.mark.parametrize("path", ["/sessions/", "/sessions/new/", "locked", "open"])
def test_a_page_does_not_shift_while_it_loads(visit: Visit, home: House, path: str) -> None:
    page = visit(home, "ada", home.path(path) if path.isalpha() else path)
    page.wait_for_load_state("networkidle")
    shift = page.evaluate(
        """() => new Promise((done) => {
          let sum = 0;
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) sum += entry.value;
          }).observe({type: "layout-shift", buffered: true});
          setTimeout(() => done(sum), 100);
        })"""
    )

    assert shift < 0.01


def hide(page: Page, hidden: bool) -> None:
    """Do to the page what switching to another tab, or back, does."""
    page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_what_was_unfolded_in_a_region_stays_so_when_it_renews_itself(visit: Visit, home: House) -> None:
    page = open_still(visit, home, home.path("failed"))
    run = page.get_by_role("region", name="Last run")
    run.get_by_text("Details for support").click()
    run.evaluate("region => { region.dataset.old = 'yes' }")
    other = visit(home, "ada", "")
    for title in ("Another title", ""):  # LlamaCloud's again, which other tests look for
        other.goto(home.path("failed"))
        other.get_by_role("link", name="Rename").click()
        other.get_by_label("Title").fill(title)
        other.get_by_role("button", name="Save").click()
        half_a_minute(page)

    expect(run).not_to_have_attribute("data-old", "yes")
    expect(run.locator("#job-support")).to_have_attribute("open", "")


@pytest.mark.parametrize("path", ["/sessions/", "locked"])
def test_a_hidden_tab_asks_for_nothing_and_asks_at_once_when_seen_again(visit: Visit, home: House, path: str) -> None:
    page = open_still(visit, home, home.path(path) if path.isalpha() else path)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    hide(page, hidden=True)
    half_a_minute(page, times=4)
    assert asked == []

    with page.expect_response("**?seen=*"):
        hide(page, hidden=False)
    expect(page.locator(".htmx-request")).to_have_count(0)
    assert len(asked) == (2 if path == "locked" else 1)


def test_a_session_that_is_gone_is_not_asked_for_any_more(visit: Visit, home: House) -> None:
    page = open_still(visit, home, home.path("gone"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    half_a_minute(page, times=4)

    assert asked == []


def test_who_is_signed_out_meanwhile_is_asked_to_sign_in_on_a_whole_page(visit: Visit, home: House) -> None:
    page = open_still(visit, home, home.path("locked"))
    page.context.clear_cookies()
    page.clock.fast_forward(POLL)
    page.get_by_role("heading", name="Sign in").wait_for()

    expect(page.get_by_role("region", name="Sources", exact=True)).to_have_count(0)


@pytest.mark.parametrize("width", [320, 1280])
def test_what_is_new_is_marked_and_no_row_grows_by_the_mark(
    visit: Visit, home: House, cloud: RunningLocalcloud, width: int
) -> None:
    with LlamaCloud(api_key=cloud.api_key, base_url=cloud.base_url) as sdk:
        session_id = sdk.chat.create(index_ids=[cloud.index_ids()["Garden notes"]]).session_id
    page = visit(home, "ada", f"/sessions/{session_id}/", viewport={"width": width, "height": 800})
    with asking(cloud, session_id, "Tulips?"):
        pass
    page.clock.install()
    page.goto("/sessions/", wait_until="networkidle")
    link = page.locator(f"[href='/sessions/{session_id}/']")
    let_time_pass_until(page, lambda: link.inner_text().startswith("New Tulips"))
    # Of some length a title has just room in a line, but not beside the mark.
    grown = link.evaluate(
        """(link) => {
          const [mark, title] = link.querySelectorAll(".unread, bdi");
          const height = () => link.closest("tr").getBoundingClientRect().height;
          return [...Array(60).keys()].filter((words) => {
            title.textContent = "new ".repeat(words + 1);
            const marked = height();
            mark.remove();
            const grew = marked !== height();
            link.prepend(mark);
            return grew;
          });
        }"""
    )

    assert grown == []
    below = link.evaluate(
        """(link) => {
          const title = link.querySelector("bdi");
          title.textContent = "W".repeat(300);
          return title.getClientRects()[0].bottom - link.getBoundingClientRect().bottom;
        }"""
    )
    assert below <= 1, "a word longer than the line is not pushed out of sight by the mark"
