"""The key is nowhere: a crawl of every page, fragment, header, cookie, static file and log line."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.test import Client
from pydantic import SecretStr
from pytest_django import Settings

from dashboard.chats.models import CreationAttempt
from dashboard.logs import PlainFormatter
from tests.env import API_KEY
from tests.faulty import FaultyServer, failing, key_echoed
from tests.people import SignIn
from tests.web.conftest import KEY, Connect, make_session
from tests.web.pages import read

WINDOW = 8
SEARCHES = 3
"""Addresses of one path that differ in their query only and are visited: the admin links every way to sort and filter."""
PIECES = tuple(KEY[start : start + WINDOW] for start in range(len(KEY) - WINDOW + 1))
ENDS_THE_VISIT = ("/accounts/logout/", "/accounts/password/change/", "/admin/logout/", "/admin/password_change/")

pytestmark = pytest.mark.django_db


def pieces_of_the_key(text: str) -> list[str]:
    return [piece for piece in PIECES if piece in text]


def everything_in(response: Any) -> str:
    body = b"".join(response.streaming_content) if response.streaming else response.content
    cookies = response.cookies.output()
    return body.decode("utf-8", "replace") + str(response.headers) + cookies


class Crawler:
    """Follows every link, form and fragment of the dashboard, as one person."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.client.raise_request_exception = False
        self.seen: set[str] = set()
        self.statuses: dict[str, int] = {}

    def visit(self, *addresses: str) -> None:
        waiting = list(addresses)
        paths = Counter[str]()
        while waiting:
            address = waiting.pop()
            path = urlsplit(address).path
            if address in self.seen or paths[path] == SEARCHES or path.startswith(ENDS_THE_VISIT):
                continue
            self.seen.add(address)
            paths[path] += 1
            for headers in ({}, {"HX-Request": "true"}):
                response = self.client.get(address, headers=headers)
                self.statuses[address] = response.status_code
                assert response.status_code < 500, address
                assert not pieces_of_the_key(everything_in(response)), address
                waiting += self._next(address, response)

    def _next(self, address: str, response: Any) -> Iterator[str]:
        if "Location" in response.headers:
            yield from self._here(address, response["Location"])
        if response.headers.get("Content-Type", "").startswith("text/html"):
            for element in read(response).everything():
                for name in ("href", "hx-get", "action", "src"):
                    if name in element:
                        yield from self._here(address, element[name])

    def _here(self, address: str, link: str) -> Iterator[str]:
        parts = urlsplit(urljoin(address, link))
        if parts.scheme in ("", "http") and parts.netloc in ("", "testserver"):
            yield parts.path + (f"?{parts.query}" if parts.query else "")


@pytest.fixture
def talkative(catalog: FaultyServer, ada: User) -> FaultyServer:
    """A LlamaCloud that quotes the key in everything it says, and some sessions and attempts made with it."""
    for index in catalog.indexes:
        index["description"] = f"made with {KEY}"
    job = {"turns": 1, "is_error": True, "error": f"Bearer {KEY} refused", "export_config_ids": [KEY]}
    for number in range(3):
        session = make_session(catalog, ada)
        catalog.chats[session.session_id] |= {"generated_title": f"{KEY} no. {number}", "job_metadata": job}
    return catalog


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Every line at DEBUG, also of the libraries that are silent by default."""
    with (
        caplog.at_level(logging.DEBUG),
        caplog.at_level(logging.DEBUG, "urllib3"),
        caplog.at_level(logging.DEBUG, "requests"),
        caplog.at_level(logging.DEBUG, "django"),
    ):
        yield caplog


@pytest.mark.parametrize("person", ["ada", "cy"])
def test_no_piece_of_the_key_is_on_any_page_a_person_reaches(
    person: str, request: pytest.FixtureRequest, talkative: FaultyServer, signed_in: SignIn, log: Any
) -> None:
    client = signed_in(request.getfixturevalue(person))
    client.post("/sessions/refresh/")
    talkative.script("POST", "/api/v1/chat", [key_echoed(), failing(500, KEY)])
    for token in ("first-token", "other-token"):
        failed = client.post("/sessions/new/", {"idempotency_token": token, "index_ids": "idx-reports"})
        assert failed.status_code == 502
        assert not pieces_of_the_key(everything_in(failed))
    assert CreationAttempt.objects.count() == 2
    crawler = Crawler(client)
    crawler.visit("/", "/admin/", "/accounts/login/", "/livez", "/readyz", "/nowhere/", "/sessions/nobody/")
    visited = {urlsplit(address).path for address in crawler.seen}
    assert {"/sessions/", "/sessions/new/", "/sessions/ses-1/", "/sessions/ses-1/lock/", "/sessions/ses-1/job/"} <= visited
    assert {"/sessions/ses-1/delete/", "/sessions/ses-1/rename/", "/sessions/refresh/", "/theme/"} <= visited
    assert any(address.startswith("/static/") for address in visited)
    if person == "cy":
        assert sum(path.startswith("/admin/dashboard/") for path in visited) > 5
    assert log.records
    assert not pieces_of_the_key(log.text)


def test_no_piece_of_the_key_is_in_a_static_file(faulty: FaultyServer) -> None:
    files = [path for path in Path(configured.STATIC_ROOT).rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        assert not any(piece.encode() in content for piece in PIECES), path


@pytest.mark.parametrize("debug", [False, True])
def test_no_piece_of_the_key_is_on_an_error_page(
    debug: bool, talkative: FaultyServer, ada: User, signed_in: SignIn, settings: Settings, log: Any
) -> None:
    settings.DEBUG = debug
    client = signed_in(ada)
    client.raise_request_exception = False
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    answers = {
        404: client.get("/nowhere/"),
        400: client.get("/sessions/?q=%00"),
        403: strict.post("/sessions/refresh/"),
        405: client.put("/sessions/"),
    }
    for status, response in answers.items():
        assert response.status_code == status
        assert not pieces_of_the_key(everything_in(response))
    # Something nobody foresaw: the page that would show a stack trace with the local variables of every frame.
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": []}]
    broken = client.get("/sessions/")
    assert broken.status_code == 500
    assert not pieces_of_the_key(everything_in(broken))
    assert not pieces_of_the_key(log.text)


def test_a_log_line_that_would_quote_a_secret_has_it_blotted_out(settings: Settings, connect: Connect) -> None:
    connect("http://127.0.0.1:9", KEY)
    try:
        raise ValueError(f"Authorization: Bearer {KEY}")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%s and %s", (KEY, settings.SECRET_KEY), None)
        record.exc_info = (type(error), error, error.__traceback__)
    line = PlainFormatter().format(record)
    assert not pieces_of_the_key(line)
    assert settings.SECRET_KEY not in line
    assert line.count("[removed]") >= 3


def test_a_key_changed_in_the_settings_is_the_one_searched_for(settings: Settings) -> None:
    """The tests' own key is a stranger to these tests' pieces; were they the same, a leak could hide behind it."""
    assert settings.CORRAL.llama_cloud_api_key == SecretStr(API_KEY)
    assert not pieces_of_the_key(API_KEY)
