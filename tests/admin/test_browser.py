"""The admin in a real browser: nothing breaks the policy, and no text is wider than its page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from dashboard.audit.models import AuditEntry
from dashboard.catalog.models import Index
from dashboard.chats.models import ChatSession
from tests import engines
from tests.admin.conftest import HOSTILE, MakeSession
from tests.e2e.browser import axe
from tests.people import SignIn

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def hostile(make_session: MakeSession, handbook: Index, cy: User) -> ChatSession:
    """A session whose every text wants to break the page; made before the browser, which forbids queries in tests."""
    AuditEntry.objects.create(action="session.viewed", actor=cy, actor_name="cy", details={"words": HOSTILE})
    Index.objects.update(name=HOSTILE)
    return make_session(
        "chat-1",
        over=("idx-handbook", "i" * 255),
        owner=cy,
        generated_title=HOSTILE,
        job_is_error=True,
        job_error=HOSTILE,
        raw={"generated_title": HOSTILE},
    )


@pytest.fixture
def tab(
    hostile: ChatSession, live_server: LiveServer, cy: User, signed_in: SignIn, settings: Settings
) -> Iterator[Page]:
    """A tab in which the administrator is signed in."""
    # The live server of the tests finds static files by their own names only, not by the hashed ones.
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}
    [cookie] = signed_in(cy).cookies.values()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=engines.chromium_without_screen())
        context = browser.new_context(base_url=live_server.url, reduced_motion="reduce")
        context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])
        yield context.new_page()
        browser.close()


def complaints_of(tab: Page) -> list[str]:
    """What the browser will say from now on about the policy, missing files or broken scripts."""
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: heard.append(str(error)))
    return heard


def test_no_page_breaks_the_policy(tab: Page, hostile: ChatSession, cy: User) -> None:
    heard = complaints_of(tab)
    for url in (
        "",
        "dashboard/chatsession/",
        f"dashboard/chatsession/{hostile.pk}/change/",
        "dashboard/auditentry/",
        "auth/user/",
        "auth/user/add/",
        f"auth/user/{cy.pk}/change/",
        "auth/group/add/",
    ):
        answer = tab.goto(f"/admin/{url}", wait_until="networkidle")
        assert answer is not None
        assert answer.status == 200
        assert "script-src 'self'" in answer.headers["content-security-policy"]

    assert heard == []


def test_permissions_are_chosen_with_scripts_at_work(tab: Page, cy: User) -> None:
    tab.goto(f"/admin/auth/user/{cy.pk}/change/", wait_until="networkidle")
    tab.locator("#id_user_permissions_from option", has_text="Can view session").first.dblclick()

    assert tab.locator("#id_user_permissions_to option").count() == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "dashboard/chatsession/",
        "dashboard/chatsession/{}/change/",
        "dashboard/auditentry/",
        "auth/user/",
    ],
)
def test_it_is_accessible(tab: Page, hostile: ChatSession, url: str) -> None:
    tab.goto(f"/admin/{url.format(hostile.pk)}", wait_until="networkidle")

    assert axe(tab) == {}


@pytest.mark.parametrize("width", [320, 1280])
def test_hostile_text_makes_no_page_wider_than_the_screen(tab: Page, hostile: ChatSession, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    for url in (
        f"chatsession/{hostile.pk}/change/",
        "index/idx-handbook/change/",
        "chatsession/",
    ):
        tab.goto(f"/admin/dashboard/{url}", wait_until="networkidle")
        widest = tab.evaluate("document.documentElement.scrollWidth")

        assert widest <= width, url


def test_a_source_is_typed_and_found(tab: Page) -> None:
    tab.goto("/admin/dashboard/chatsession/?lock=locked", wait_until="networkidle")
    tab.locator("#filter-source").fill("idx-handbook")
    tab.locator("#filter-source").press("Enter")
    tab.wait_for_url("**/?lock=locked&source=idx-handbook")

    assert tab.locator("#result_list tbody tr").count() == 1
