"""Who gets in: strangers nowhere, by any address, and every view only by the methods it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession
from dashboard.turns.models import Turn, TurnState
from tests.faulty import FaultyServer
from tests.people import SignIn
from tests.web.conftest import make_session
from tests.web.pages import read

OPEN_TO_STRANGERS = {
    "home": 302,  # to the list, which asks for a sign-in
    "theme": 405,  # a cookie about colours
    "setup": 404,  # has a key of its own, and somebody exists already
    "livez": 200,
    "readyz": 200,
    "account_login": 200,
    "account_logout": 302,  # to the sign-in
}
"""Every URL name without a sign-in, and what a stranger's GET gets. Think twice before adding one."""
MEMBERS_GET = {
    "session-refresh": 405,
    "theme": 405,
    "home": 302,
    "setup": 404,
    "account_login": 302,
    "turn-ask": 302,
    "turn-stop": 302,
    "turn-image": 404,  # nothing was cited
}
ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")

pytestmark = pytest.mark.django_db


def addresses(patterns: list[Any] | None = None, before: str = "/") -> Iterator[tuple[str, str]]:
    """Every address of the URLconf with its arguments filled in, and its name."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = str(pattern.pattern)
        route = "anything" if route.startswith("(?P<") else ARGUMENT.sub("1", route.strip("^$"))
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, before + route)
        elif isinstance(pattern, URLPattern):
            yield before + route, pattern.name or ""


ADDRESSES = sorted(set(addresses()))


@pytest.mark.parametrize(("address", "name"), ADDRESSES)
def test_a_stranger_gets_nowhere_without_signing_in(address: str, name: str, ada: User) -> None:
    client = Client()
    got = client.get(address)
    if name in OPEN_TO_STRANGERS and not address.startswith("/admin/"):
        assert got.status_code == OPEN_TO_STRANGERS[name]
        return
    for response in (got, client.post(address), client.get(address, headers={"HX-Request": "true"})):
        assert response.status_code == 302, address
        # The admin's sign-out sends whoever is not signed in to the admin's start, which asks for a sign-in.
        doors = ("/admin/",) if address == "/admin/logout/" else ("/accounts/login/", "/admin/login/")
        assert response["Location"].startswith(doors), address
    assert not ChatSession.objects.exists()


def test_the_list_of_open_doors_names_only_doors_there_are() -> None:
    assert set(OPEN_TO_STRANGERS) <= {name for _, name in ADDRESSES}
    assert len(ADDRESSES) > 20


@pytest.mark.parametrize("address", [address for address, _ in ADDRESSES if address.startswith("/admin/")])
def test_a_member_is_no_administrator(address: str, browser: Client) -> None:
    response = browser.get(address)
    assert response.status_code in (302, 403, 404)
    if response.status_code == 302:
        assert response["Location"].startswith(("/accounts/login/", "/admin/login/", "/"))
    assert "Site administration" not in response.content.decode()


def test_the_admins_own_sign_in_leads_to_the_one_door() -> None:
    response = Client().get("/admin/login/?next=/admin/")
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


def test_somebody_switched_off_is_a_stranger(ada: User, browser: Client) -> None:
    assert browser.get("/sessions/").status_code == 200
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert browser.get("/sessions/").status_code == 302


@pytest.fixture
def one_session(catalog: FaultyServer, ada: User) -> ChatSession:
    """Ada's session, with an answer in it, and the id that stands for every argument."""
    session = make_session(catalog, ada, session_id="1")
    now = timezone.now()
    Turn.objects.create(session=session, number=1, state=TurnState.ANSWERED, prompt="x", asked_at=now, finished_at=now)
    return session


OURS = [(address, name) for address, name in ADDRESSES if not address.startswith(("/admin/", "/accounts/"))]
IN_A_TRANSACTION_OR_NOT = [
    # A stream closes its connection before it begins, which a transaction around the test would not survive.
    pytest.param(address, name, marks=pytest.mark.django_db(transaction=name == "turn-events"))
    for address, name in OURS
]


@pytest.mark.parametrize(("address", "name"), IN_A_TRANSACTION_OR_NOT)
def test_every_address_has_its_methods_and_no_others(
    address: str, name: str, one_session: ChatSession, browser: Client
) -> None:
    expected = MEMBERS_GET.get(name, 200)
    assert browser.get(address).status_code == expected
    head = browser.head(address)
    assert (head.status_code, b"".join(head)) == (expected, b"")
    if name in ("livez", "readyz", "home"):
        return
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "BREW"):
        response = browser.generic(method, address)
        assert response.status_code == 405, method
        assert response["Allow"]
    assert not AuditEntry.objects.exclude(action="session.viewed").exists()


@pytest.mark.parametrize("step", ["", "lock/", "job/"])
def test_what_only_shows_takes_no_post(step: str, one_session: ChatSession, browser: Client) -> None:
    assert browser.post(f"/sessions/1/{step}").status_code == 405
    assert browser.post("/sessions/").status_code == 405


@pytest.mark.parametrize("address", [a for a, name in OURS if name not in ("livez", "readyz", "home")])
def test_a_form_from_another_site_changes_nothing(address: str, one_session: ChatSession, ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    response = client.post(address, {"title": "evil", "theme": "dark", "idempotency_token": "from-elsewhere"})
    assert response.status_code == 403
    assert read(response).one("h1").text == "This page was open too long"
    assert not response.cookies.get("theme")
    one_session.refresh_from_db()
    assert (one_session.title, one_session.gone_at) == ("", None)
    assert not AuditEntry.objects.exists()


def test_our_own_forms_carry_their_token(one_session: ChatSession, ada: User, catalog: FaultyServer) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    for address, action in (
        ("/sessions/1/rename/", ""),
        ("/sessions/1/delete/", ""),
        ("/sessions/new/", "/sessions/new/"),
    ):
        forms = read(client.get(address)).all("form", method="post")
        form = next(form for form in forms if form.attributes.get("action", "") == action)
        fields = form.fields() | {"index_ids": ["idx-reports"]}
        assert client.post(address, fields).status_code == 302, address


def test_htmx_sent_away_to_sign_in_is_sent_by_a_redirect_its_script_knows(catalog: FaultyServer, ada: User) -> None:
    response = Client().get("/sessions/", headers={"HX-Request": "true"})
    assert response["Location"] == "/accounts/login/?next=/sessions/"


def test_signing_in_leads_where_one_wanted_to_go(one_session: ChatSession, signed_in: SignIn) -> None:
    from tests.people import PASSWORD

    client = Client()
    asked = client.get("/sessions/1/", follow=True)
    form = next(form for form in read(asked).all("form") if form.attributes.get("action") == "/accounts/login/")
    sent = client.post("/accounts/login/", form.fields() | {"login": "ada", "password": PASSWORD})
    assert sent["Location"] == "/sessions/1/"


def test_a_sign_in_ends_with_its_time(browser: Client) -> None:
    assert browser.get("/sessions/").status_code == 200
    assert hasattr(db.SessionStore, "_get_session_from_db"), "which dashboard.signed_in replaces"

    Session.objects.update(expire_date=timezone.now())

    assert browser.get("/sessions/").status_code == 302
