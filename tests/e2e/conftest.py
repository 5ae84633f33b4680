"""A real browser, and the houses it visits. Servers last for the whole run, the browser for one module.

Playwright keeps an event loop in this thread for as long as it runs, and Django forbids queries beside one. So it ends
with its module, and nothing in this folder touches the database: houses are processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import engines
from tests.e2e.browser import LISTEN, WIDE, Complaints, started
from tests.e2e.houses import COOKIE, MAIN_DOCUMENTS, House, house, plant
from tests.env import API_KEY
from tests.faulty import FaultyServer
from tests.localcloud.fixtures import RunningLocalcloud, StartLocalcloud, localclouds

Visit = Callable[..., Page]
PATIENCE = 30_000
"""Milliseconds."""
expect.set_options(timeout=PATIENCE)
AS_USUAL: dict[str, Any] = {"viewport": {"width": WIDE, "height": 900}, "reduced_motion": "reduce"}
"""A tab's options: what moves without end is drawn without end, by the processors that the tests need."""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
FOLDER = Path(__file__).parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, and keep each module in one worker, which builds its houses once.

    They come first: a module takes minutes, mostly of waiting, and whoever began one last would keep all waiting.
    """
    items.sort(key=lambda item: FOLDER not in item.path.parents)
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def start_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartLocalcloud]:
    """Start embedded servers that last for the whole run."""
    with localclouds(tmp_path_factory.mktemp("clouds")) as start:
        yield start


@pytest.fixture(scope="session")
def cloud(start_cloud: StartLocalcloud) -> RunningLocalcloud:
    """The LlamaCloud of ``home``; it answers a question slowly enough to be watched."""
    return start_cloud(documents=MAIN_DOCUMENTS, token_delay=0.15)


@pytest.fixture(scope="session")
def home(cloud: RunningLocalcloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house with sessions of every kind."""
    planted = plant(cloud)
    with house(
        tmp_path_factory.mktemp("home"), cloud.base_url, cloud.api_key, sessions=planted, gone=["gone"]
    ) as started:
        cloud.call("DELETE", f"/api/v1/chat/{started.sessions['gone']}")
        yield started


@pytest.fixture(scope="session")
def faulty_cloud() -> Iterator[FaultyServer]:
    """The LlamaCloud of ``faulty_home``, which misbehaves when told to; its project ``big`` has a thousand sources."""
    with FaultyServer(key=API_KEY) as server:
        server.projects.append(server.projects[0] | {"id": "big", "name": "Big", "is_default": False})
        for number in range(1000):
            name, about = f"Ledger {number:04d}", f"Entries of branch {number % 37} and what the auditors said of them."
            changes = {"id": f"idx-big-{number:04d}", "name": name, "description": about, "project_id": "big"}
            server.indexes.append(server.indexes[0] | changes)
        yield server


@pytest.fixture(scope="session")
def faulty_home(faulty_cloud: FaultyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house without sessions whose LlamaCloud can be made to fail."""
    with house(tmp_path_factory.mktemp("faulty"), faulty_cloud.url, API_KEY, sessions={}) as started:
        yield started


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without what belongs to a desktop if that can be had."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=engines.chromium_without_screen(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def whole_chromium(chromium: Browser) -> Iterator[Browser]:
    """The system's Chromium with all it has."""
    browser = chromium.browser_type.launch(executable_path=engines.chromium(), args=FLAGS)
    yield browser
    browser.close()


def patient(page: Page, opens: Callable[..., Any]) -> Callable[..., Any]:
    """The same, and back only when the page's scripts have started, as a person would be."""

    def opened(*args: Any, **options: Any) -> Any:
        answer = opens(*args, **options)
        started(page)
        return answer

    return opened


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Open a tab: ``visit(house, "ada", "/sessions/", **options of the browser context)``.

    "" as a person is nobody, "" as a path leaves the tab empty; ``browser`` may be another one.

    Whatever a test does there, its pages must not break the policy and its console must stay empty; what a test
    provokes on purpose it says beforehand with ``expect=("words",)``.
    """
    open_tabs: list[tuple[BrowserContext, Page, Complaints]] = []

    def open_tab(
        house: House,
        person: str,
        path: str,
        *,
        expect: tuple[str, ...] = (),
        browser: Browser = chromium,
        **options: Any,
    ) -> Page:
        context = browser.new_context(base_url=house.url, **{**AS_USUAL, **options})
        context.set_default_timeout(PATIENCE)
        context.add_init_script(LISTEN)
        if person:
            context.add_cookies([{"name": COOKIE, "value": house.cookies[person], "url": house.url}])
        page = context.new_page()
        if options.get("java_script_enabled", True):
            page.goto = patient(page, page.goto)  # type: ignore[method-assign]
            page.reload = patient(page, page.reload)  # type: ignore[method-assign]
        complaints = Complaints(page)
        complaints.expect(*expect)
        open_tabs.append((context, page, complaints))
        if path:
            page.goto(path)
        return page

    yield open_tab
    heard = []
    for context, page, complaints in open_tabs:
        heard += [*complaints, *page.evaluate("window.__violations ?? []")]
        context.close()
    assert heard == []
