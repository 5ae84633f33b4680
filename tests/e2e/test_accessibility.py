"""Every page, in both themes, at 320 and 1280 pixels: no rule of axe is broken and nothing scrolls sideways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.browser import axe, settle
from tests.e2e.conftest import Visit
from tests.e2e.houses import BROKEN, House, house
from tests.e2e.seed import PASSWORD
from tests.env import API_KEY
from tests.faulty import Answer, FaultyServer, failing, rate_limited, reset

REFUSED = "Failed to load resource"
"""What Chromium says of any answer with an error status, also of a page that tells it well."""


@pytest.mark.parametrize("name", ["open", "unbound", "locked", "failed", "gone", "hostile", "full", "bens"])
def test_a_session_in_each_state(visit: Visit, home: House, name: str) -> None:
    page = visit(home, "ada", home.path(name))
    settle(page)

    assert axe(page) == {}


@pytest.mark.parametrize(
    "path",
    [
        "/sessions/",
        "/sessions/?q=train",
        "/sessions/?q=nothing+like+it",
        "/sessions/?state=gone",
        "/sessions/new/",
        "/sessions/new/?binding=unbound",
        "/sessions/new/?find=nothing+like+it",
        "/accounts/password/change/",
        "/accounts/logout/",
    ],
)
def test_a_page_for_members(visit: Visit, home: House, path: str) -> None:
    page = visit(home, "ada", path)
    settle(page)

    assert axe(page) == {}


@pytest.mark.parametrize("name", ["locked", "hostile"])
@pytest.mark.parametrize("part", ["rename/", "delete/"])
def test_renaming_and_deleting(visit: Visit, home: House, name: str, part: str) -> None:
    assert axe(visit(home, "ada", home.path(name, part))) == {}


def test_the_account_menu(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/")
    page.get_by_role("button", name="account menu").click()
    page.get_by_role("button", name="Sign out").wait_for()

    assert axe(page) == {}


def test_sign_in_and_a_refused_sign_in(visit: Visit, home: House) -> None:
    page = visit(home, "", "/accounts/login/", expect=(REFUSED,))
    assert axe(page) == {}

    page.get_by_label("Username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()

    assert axe(page) == {}


@pytest.mark.parametrize(("path", "status"), [("/nowhere/", 404), ("/sessions/no-such-session/", 404), ("bens", 403)])
def test_refusals(visit: Visit, home: House, path: str, status: int) -> None:
    page = visit(home, "ada", "/sessions/", expect=(REFUSED,))
    answer = page.goto(home.path(path, "rename/") if path == "bens" else path)

    assert answer is not None
    assert answer.status == status
    assert axe(page) == {}


def test_a_form_that_was_filled_in_wrongly(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/", expect=(REFUSED,))
    page.get_by_role("button", name="Create session").click()
    page.get_by_role("alert").wait_for()

    assert page.title().startswith("Problem: ")
    assert axe(page) == {}


def test_a_source_that_cannot_be_relied_on_asks_for_a_tick(visit: Visit, home: House) -> None:
    page = visit(home, "ada", "/sessions/new/", expect=(REFUSED,))
    page.get_by_role("checkbox", name=BROKEN).check()
    page.get_by_role("checkbox", name="Create it anyway").wait_for()
    assert axe(page) == {}

    page.get_by_role("button", name="Create session").click()
    page.get_by_role("alert").wait_for()

    assert axe(page) == {}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (rate_limited(retry_after="20"), "The session was not created"),
        (failing(402), "The session was not created"),
        (reset(), "We don’t know yet whether the session was created"),
    ],
    ids=["too many", "not paid", "outcome unknown"],
)
def test_a_creation_that_failed(
    visit: Visit, faulty_home: House, faulty_cloud: FaultyServer, fault: Answer, words: str
) -> None:
    faulty_cloud.script("POST", "/api/v1/chat", [fault])
    page = visit(faulty_home, "ada", "/sessions/new/", expect=(REFUSED,))
    page.get_by_role("checkbox", name="Reports").check()
    page.get_by_role("button", name="Create session").click()
    page.get_by_role("heading", name=words).wait_for()
    page.get_by_text("Details for support").click()

    assert axe(page) == {}


def test_a_new_house(visit: Visit, faulty_cloud: FaultyServer, tmp_path: Path) -> None:
    """From the one-time link to the empty list."""
    with house(tmp_path, faulty_cloud.url, API_KEY) as empty:
        link = re.search(r"http\S+/setup/\S+", empty.process.wait_for("/setup/"))
        assert link
        page = visit(empty, "", link[0], expect=(REFUSED,))
        assert axe(page) == {}

        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label("Password confirmation").fill("something else")
        page.get_by_role("button", name="Make the account").click()
        page.get_by_role("alert").wait_for()
        assert axe(page) == {}

        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label("Password confirmation").fill(PASSWORD)
        page.get_by_role("button", name="Make the account").click()
        page.get_by_role("heading", name="No sessions yet").wait_for()
        assert axe(page) == {}
