"""What a page costs that a browser has never seen: bytes on the wire, requests, and the time a long list takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import settle
from tests.e2e.conftest import Visit
from tests.e2e.houses import House

LIMIT = 60_000
"""Bytes, headers and everything included (design.md, Behaviour)."""
MOST_REQUESTS = 8
"""The page with its styles, its icon, one script with htmx and all behaviours, and what the page asks for itself."""


@dataclass
class Wire:
    """What went over the wire, by address, as DevTools measures it."""

    urls: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, page: Page) -> Wire:
        """Begin to listen."""
        wire, tools = cls(), page.context.new_cdp_session(page)
        tools.on(
            "Network.requestWillBeSent", lambda event: wire.urls.update({event["requestId"]: event["request"]["url"]})
        )
        tools.on(
            "Network.loadingFinished", lambda event: wire.sizes.update({event["requestId"]: event["encodedDataLength"]})
        )
        tools.send("Network.enable")
        return wire

    @property
    def total(self) -> int:
        return round(sum(self.sizes.values()))


def cold_load(visit: Visit, house: House, person: str, path: str) -> tuple[Page, Wire]:
    """Open a page in a browser that has nothing yet, and wait until it asks for nothing more."""
    page = visit(house, person, "", expect=("Failed to load resource",))
    wire = Wire.of(page)
    page.goto(path, wait_until="networkidle")
    return page, wire


@pytest.mark.parametrize(
    ("person", "path"),
    [
        ("", "/accounts/login/"),
        ("ada", "/sessions/"),
        ("ada", "/sessions/new/"),
        ("ada", "locked"),
        ("ada", "failed"),
        ("ada", "/accounts/password/change/"),
        ("ada", "/nowhere/"),
    ],
)
def test_a_first_visit_stays_light(visit: Visit, home: House, person: str, path: str) -> None:
    address = home.path(path) if path.isalpha() else path
    _, wire = cold_load(visit, home, person, address)
    print(f"{path}: {wire.total / 1000:.1f} kB in {len(wire.urls)} requests")  # noqa: T201

    assert wire.sizes.keys() == wire.urls.keys(), "everything that was asked for has arrived"
    assert 5_000 < wire.total < LIMIT
    assert len(wire.urls) <= MOST_REQUESTS
    assert {urlsplit(url).netloc for url in wire.urls.values()} == {urlsplit(home.url).netloc}


def test_a_second_visit_loads_no_file_again(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/")
    settle(page)
    wire = Wire.of(page)
    page.goto("/sessions/new/", wait_until="networkidle")
    page.goto("/sessions/", wait_until="networkidle")

    again = [url for key, url in wire.urls.items() if "/static/" in url and wire.sizes.get(key, 0) > 0]
    assert again == []


TELLS_NO_PAINT = "PerformanceObserver.prototype.observe = () => {};"
WAITS_FOR_EVER = """
const timer = setTimeout;
window.setTimeout = (work, delay) => delay === 1000 ? 0 : timer(work, delay);
"""
IN_THE_BACKGROUND = "Object.defineProperty(Document.prototype, 'hidden', {get: () => true});"
COMES_TO_THE_FRONT = """
const show = () => document.dispatchEvent(new Event("visibilitychange", {bubbles: true}));
document.addEventListener("DOMContentLoaded", show);
"""


def test_something_is_seen_before_scripts_are_fetched(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "")
    with page.expect_response(re.compile("/static/js/app")):
        Page.goto(page, "/sessions/new/")  # without waiting for scripts

    seen, fetched = page.evaluate(
        """() => [
          performance.getEntriesByName("first-contentful-paint")[0].startTime,
          performance.getEntriesByType("resource").find(({name}) => name.includes("/static/js/app")).startTime,
        ]"""
    )
    assert seen <= fetched


@pytest.mark.parametrize(
    "script",
    [
        TELLS_NO_PAINT,
        TELLS_NO_PAINT + WAITS_FOR_EVER + IN_THE_BACKGROUND,
        TELLS_NO_PAINT + WAITS_FOR_EVER + COMES_TO_THE_FRONT,
    ],
    ids=["no paint told", "in the background", "comes to the front"],
)
def test_scripts_start_although_nothing_is_painted(visit: Visit, home: House, script: str) -> None:
    page = visit(home, "ada", "/sessions/")
    page.add_init_script(script)
    page.goto("/sessions/new/")

    page.get_by_label("Search names").fill("no such words")

    expect(page.locator("[data-filter-none]")).to_be_visible()


@pytest.mark.system
def test_a_thousand_sources_can_be_searched_while_typing(visit: Visit, faulty_home: House) -> None:
    page, wire = cold_load(visit, faulty_home, "ada", "/sessions/new/?project_id=big")
    cards = page.locator(".cards > li")
    assert cards.count() == 1000
    slowest = page.evaluate(
        """async () => {
          const box = document.getElementById("find");
          const slow = {};
          for (const round of [1, 2, 3]) {
            for (const words of ["l", "le", "ledger 09", "ledger 0999", "branch 7", ""]) {
              const before = performance.now();
              box.value = words;
              box.dispatchEvent(new InputEvent("input", {bubbles: true}));
              document.body.getBoundingClientRect();
              slow[words] = Math.min(slow[words] ?? Infinity, performance.now() - before);  // others need the cores too
            }
          }
          return Math.max(...Object.values(slow));
        }"""
    )
    print(f"1,000 sources: {wire.total / 1000:.1f} kB, slowest key {slowest:.0f} ms")  # noqa: T201
    page.get_by_label("Search names").fill("ledger 0999")

    expect(cards.filter(visible=True)).to_have_count(1)
    assert wire.total < 2 * LIMIT
