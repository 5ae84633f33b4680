"""Where a request comes from: forwarded headers are believed from trusted proxies only, and only from the right."""

from __future__ import annotations

import ipaddress

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from dashboard.audit.models import AuditEntry
from tests.faulty import FaultyServer
from tests.web.conftest import make_session

PROXY, OTHER_PROXY, CLIENT, LIAR = "10.0.0.5", "10.0.0.6", "203.0.113.7", "198.51.100.66"

pytestmark = pytest.mark.django_db


@pytest.fixture
def behind_proxies(settings: Settings) -> None:
    """10.0.0.0/24 and an IPv6 network are ours."""
    networks = tuple(ipaddress.ip_network(net) for net in ("10.0.0.0/24", "2001:db8::/32"))
    settings.CORRAL = settings.CORRAL.model_copy(update={"trusted_proxies": networks})


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        (LIAR, CLIENT, LIAR),
        (PROXY, CLIENT, CLIENT),
        (PROXY, f"{LIAR}, {CLIENT}", CLIENT),
        (PROXY, f"{LIAR}, {CLIENT}, {OTHER_PROXY}", CLIENT),
        (PROXY, f"{LIAR},{CLIENT},{OTHER_PROXY},", CLIENT),
        (PROXY, f"{PROXY}, {OTHER_PROXY}", PROXY),
        (PROXY, f"{CLIENT}, nonsense, {OTHER_PROXY}", OTHER_PROXY),
        (PROXY, "nonsense", PROXY),
        (PROXY, "", PROXY),
        ("2001:db8::1", "2001:DB9:0::7", "2001:db9::7"),
        ("nonsense", CLIENT, None),
        ("", CLIENT, None),
    ],
)
def test_the_recorded_address_is_the_first_no_trusted_proxy_wrote(
    peer: str, forwarded: str, seen: str | None, behind_proxies: None, catalog: FaultyServer, browser: Client
) -> None:
    session = make_session(catalog)
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    browser.get(f"/sessions/{session.session_id}/", headers=headers, REMOTE_ADDR=peer)
    assert AuditEntry.objects.get().ip == seen


def test_without_trusted_proxies_nobody_is_believed(catalog: FaultyServer, browser: Client) -> None:
    session = make_session(catalog)
    browser.get(f"/sessions/{session.session_id}/", headers={"X-Forwarded-For": CLIENT}, REMOTE_ADDR=PROXY)
    assert AuditEntry.objects.get().ip == PROXY


@pytest.mark.parametrize(("peer", "location"), [(PROXY, "/sessions/"), (LIAR, "https://testserver/sessions/")])
def test_https_is_believed_from_a_trusted_proxy_only(
    peer: str, location: str, behind_proxies: None, settings: Settings, browser: Client
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    response = browser.get("/sessions/", headers={"X-Forwarded-Proto": "https"}, REMOTE_ADDR=peer)
    assert response.headers.get("Location", "/sessions/") == location
    assert browser.get("/sessions/", headers={"X-Forwarded-Proto": "http"}, REMOTE_ADDR=PROXY).status_code == 301


def test_a_forged_host_is_not_used(browser: Client, behind_proxies: None) -> None:
    response = browser.get("/nowhere/", headers={"X-Forwarded-Host": "evil.example"}, REMOTE_ADDR=LIAR)
    assert "evil.example" not in response.content.decode()


def test_a_guesser_behind_a_forged_address_is_still_counted_as_one(ada: User) -> None:
    client = Client()
    statuses = [
        client.post(
            "/accounts/login/",
            {"login": "ada", "password": "wrong"},
            headers={"X-Forwarded-For": f"192.0.2.{number}"},
        ).context["form"].errors.as_text()
        for number in range(7)
    ]  # fmt: skip
    assert "Too many wrong tries" in statuses[-1]
