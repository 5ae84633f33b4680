"""What tests of a conversation do again and again: begin one, ask, wait."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from llama_cloud import LlamaCloud
from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import started
from tests.e2e.conftest import Visit
from tests.e2e.houses import House, house
from tests.localcloud.fixtures import RunningLocalcloud, StartLocalcloud

BOTH = ("Travel policy", "Garden notes")
LONG = "Is a refund for a cancelled train paid within ten days, and are first class trains booked for long journeys?"
"""A question localcloud finds several passages for: its answer takes some seconds."""
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Does to a page what switching to another tab, or back, does."""


@contextmanager
def paced_house(start_cloud: StartLocalcloud, folders: pytest.TempPathFactory, token_delay: float) -> Iterator[House]:
    """A house without sessions whose answers come at this pace, in seconds between two pieces."""
    cloud = start_cloud(token_delay=token_delay)
    with house(folders.mktemp("paced"), cloud.base_url, cloud.api_key, sessions={}) as built:
        yield built


@pytest.fixture(scope="module")
def brisk_home(start_cloud: StartLocalcloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose answers are written in a second or two; those of ``home`` take long enough to be watched."""
    with paced_house(start_cloud, tmp_path_factory, 0.03) as built:
        yield built


def begin(page: Page, *sources: str) -> str:
    """Create a session with these sources, or with none fixed; answers its address."""
    page.goto("/sessions/new/")
    if not sources:
        page.get_by_role("radio", name="Choose sources with each question").check()
    for source in sources:
        page.get_by_role("checkbox", name=source).check()
    page.get_by_role("button", name="Create session").click()
    page.wait_for_url(re.compile("/sessions/ses-[^/]+/"))
    started(page)
    return page.url


def open_session(visit: Visit, house: House, *sources: str, expect: tuple[str, ...] = (), **options: object) -> Page:
    """A tab with a session that was never asked."""
    page = visit(house, "ada", "", expect=expect, **options)
    begin(page, *(sources or BOTH))
    return page


def box(page: Page) -> Locator:
    """Where a question is typed."""
    return page.get_by_role("textbox", name="Your question")


def ask(page: Page, words: str = LONG) -> Locator:
    """Ask, and answer the turn as soon as it is on the page."""
    number = page.get_by_role("article").count() + 1
    box(page).fill(words)
    box(page).press("Enter")
    turn = page.locator(f"#turn-{number}")
    turn.wait_for()
    return turn


def ended(turn: Locator, state: str = "answered") -> None:
    """Wait until the turn has ended, and how."""
    expect(turn).to_have_attribute("data-state", state, timeout=60_000)


def hear(page: Page) -> None:
    """Note everything the live region says from now on; :func:`heard` answers it."""
    page.evaluate(
        """() => {
          window.__said = [];
          const note = () => {
            const words = document.getElementById("announcer").textContent;
            if (words) window.__said.push(words);
          };
          new MutationObserver(note).observe(document.getElementById("announcer"), {childList: true});
        }"""
    )


def heard(page: Page, words: str) -> int:
    """How often something with these words was said."""
    count: int = page.evaluate("words => window.__said.filter((said) => said.includes(words)).length", words)
    return count


@contextmanager
def asking(cloud: RunningLocalcloud, session_id: str, prompt: str) -> Iterator[None]:
    """Ask with the official SDK in the background."""

    def ask() -> None:
        with (
            LlamaCloud(api_key=cloud.api_key, base_url=cloud.base_url) as sdk,
            sdk.chat.with_streaming_response.stream(session_id, prompt=prompt, index_ids=bound) as response,
        ):
            for _ in response.iter_lines():
                pass

    with LlamaCloud(api_key=cloud.api_key, base_url=cloud.base_url) as sdk:
        bound = sdk.chat.retrieve(session_id).index_ids or []
    thread = threading.Thread(target=ask)
    thread.start()
    yield
    thread.join()
