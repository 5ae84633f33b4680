"""Who is signed in: whoever the database says, if it was Corral that wrote it there."""

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


def test_what_somebody_else_signed_signs_nobody_in(browser: Client) -> None:
    row = stored(browser)
    contents, salt = dict(SessionStore(row.session_key)), SessionStore().key_salt
    for key, is_ours in ((None, True), ("another", False)):
        row.session_data = signing.dumps(contents, key=key, salt=salt, compress=True)
        row.save()

        assert is_signed_in(browser) is is_ours


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
