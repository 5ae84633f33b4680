"""Who is signed in: what was found genuine once is believed only as long as it is the same."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core import signing
from django.test import Client

from dashboard.signed_in import SessionStore

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client, ada: User) -> Client:
    client.force_login(ada)
    assert is_signed_in(client)
    assert is_signed_in(client)
    return client


def is_signed_in(browser: Client) -> bool:
    return browser.get("/sessions/").status_code == 200


def stored(browser: Client) -> Session:
    return Session.objects.get(session_key=browser.cookies["corral_session"].value)


def test_what_is_damaged_in_the_database_signs_nobody_in(browser: Client) -> None:
    row = stored(browser)
    row.session_data = f"{row.session_data[:-1]}{'A' if row.session_data[-1] != 'A' else 'B'}"
    row.save()

    assert not is_signed_in(browser)


def test_what_somebody_else_signed_signs_nobody_in(browser: Client, ada: User) -> None:
    row = stored(browser)
    contents = dict(SessionStore(row.session_key))
    row.session_data = signing.dumps(contents, key="another", salt=SessionStore().key_salt, compress=True)
    row.save()

    assert not is_signed_in(browser)


def test_who_signs_out_elsewhere_is_signed_out(browser: Client) -> None:
    stored(browser).delete()

    assert not is_signed_in(browser)


def test_what_one_request_does_to_a_session_is_not_in_anothers() -> None:
    store = SessionStore()
    store["carried"] = {"words": ["one"]}
    store.save()
    first, second = SessionStore(store.session_key), SessionStore(store.session_key)

    first["carried"]["words"].append("two")

    assert second["carried"] == {"words": ["one"]}
