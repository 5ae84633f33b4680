"""Sending the new-session form: what reaches LlamaCloud, once, and what the session follows."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession, CreationAttempt
from tests.faulty import PROJECT_ID, FaultyServer, failing
from tests.localcloud.fixtures import RunningLocalcloud
from tests.people import SignIn
from tests.web.conftest import make_session
from tests.web.newform import CHAT, NEW, form_on, fresh_form, refuse, shown, ticked
from tests.web.pages import read

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def test_only_token_and_sources_are_required(catalog: FaultyServer, browser: Client) -> None:
    response = browser.post(NEW, {"idempotency_token": "made-by-a-script", "index_ids": "idx-reports"})
    session = ChatSession.objects.get()
    assert response["Location"] == f"/sessions/{session.session_id}/"
    sent = catalog.received("POST", CHAT)[0]
    assert (sent.query, sent.json()) == ({"project_id": [PROJECT_ID]}, {"index_ids": ["idx-reports"]})


@pytest.mark.parametrize("access", ["read_only", "query"])
def test_sharing_goes_along_when_chosen(access: str, catalog: FaultyServer, browser: Client) -> None:
    browser.post(NEW, fresh_form(browser) | {"index_ids": ["idx-reports"], "shared_access": access})
    assert catalog.received("POST", CHAT)[0].json() == {"index_ids": ["idx-reports"], "shared_access": access}


def test_a_sharing_word_of_nobody_is_refused(catalog: FaultyServer, browser: Client) -> None:
    fields = fresh_form(browser) | {"index_ids": ["idx-reports"], "shared_access": "world"}
    refuse(browser, catalog, fields, "world is not one of the available choices")


@pytest.mark.parametrize("token", ["", "short", "a good token; and more", "x" * 101, "tøken-tøken", "12345678\n"])
def test_a_damaged_token_is_refused_with_words_and_a_sound_one_comes_back(
    token: str, catalog: FaultyServer, browser: Client
) -> None:
    fields = fresh_form(browser) | {"index_ids": ["idx-reports"], "idempotency_token": token}
    page = refuse(browser, catalog, fields, "This form was damaged on its way, and is mended now.")
    again = form_on(page).fields()
    assert again["idempotency_token"] != [token]
    assert browser.post(NEW, again).status_code == 302


def test_sending_one_form_twice_makes_one_session(catalog: FaultyServer, browser: Client) -> None:
    fields = fresh_form(browser) | {"index_ids": ["idx-reports"]}
    first, second = browser.post(NEW, fields), browser.post(NEW, fields)
    assert first["Location"] == second["Location"]
    assert len(catalog.received("POST")) == 1
    assert AuditEntry.objects.filter(action="session.created").count() == 1


def test_one_form_sent_again_with_other_choices_asks_and_keeps_them(catalog: FaultyServer, browser: Client) -> None:
    fields = fresh_form(browser) | {"index_ids": ["idx-reports"]}
    browser.post(NEW, fields)
    response = browser.post(NEW, fields | {"index_ids": ["idx-policies"]})
    assert response.status_code == 409
    page = read(response)
    assert "This form has been used already" in page.one(role="alert").text
    assert ticked(page) == ["idx-policies"]
    assert browser.post(NEW, form_on(page).fields()).status_code == 302
    assert len(catalog.received("POST")) == 2


def test_nobody_gets_a_session_by_somebody_elses_token(
    catalog: FaultyServer, browser: Client, ben: User, signed_in: SignIn
) -> None:
    fields = fresh_form(browser) | {"index_ids": ["idx-reports"]}
    browser.post(NEW, fields)
    stolen = signed_in(ben).post(NEW, fields)
    assert stolen.status_code == 409
    assert ChatSession.objects.get().owner != ben
    assert len(catalog.received("POST")) == 1


@pytest.mark.django_db(transaction=True)
def test_ten_submissions_of_one_form_at_once_make_one_session(
    catalog: FaultyServer, ada: User, signed_in: SignIn
) -> None:
    browser = signed_in(ada)
    fields = fresh_form(browser) | {"index_ids": ["idx-reports"]}
    start, places = threading.Barrier(10), list[str]()

    def send() -> None:
        client = Client()
        client.cookies = browser.cookies
        start.wait()
        try:
            places.append(client.post(NEW, fields).headers.get("Location", "none"))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert places == [f"/sessions/{ChatSession.objects.get().session_id}/"] * 10
    assert len(catalog.received("POST")) == 1


def test_the_embedded_server_is_asked_as_documented(embedded: RunningLocalcloud, browser: Client) -> None:
    names = embedded.index_ids()
    page = read(browser.get(NEW))
    assert sorted(shown(page)) == sorted(names)
    response = browser.post(NEW, form_on(page).fields() | {"index_ids": [names["Travel policy"]]}, follow=True)
    assert response.redirect_chain[-1][0].startswith("/sessions/ses-")
    [sent] = embedded.got("POST", CHAT)
    assert sent.json == {"index_ids": [names["Travel policy"]]}
    assert sent.headers["authorization"] == f"Bearer {embedded.api_key}"
    assert "Travel policy" in read(response).one(id="sources-region").text


# --- Following another session


def test_a_successor_starts_with_the_same_sources_and_is_linked(
    catalog: FaultyServer, browser: Client, ada: User
) -> None:
    before = make_session(catalog, ada, generated_title="The old one", index_ids=["idx-policies", "idx-reports"])
    link = read(browser.get(f"/sessions/{before.session_id}/")).one(id="same-sources")["href"]
    page = read(browser.get(link))
    assert sorted(ticked(page)) == ["idx-policies", "idx-reports"]
    assert "follows “The old one”" in page.text
    place = browser.post(NEW, form_on(page).fields())["Location"]
    after = ChatSession.objects.exclude(pk=before.pk).get()
    assert after.follows == before
    assert CreationAttempt.objects.get().follows == before
    assert place == f"/sessions/{after.session_id}/"


def test_a_successor_with_other_sources_starts_with_none(catalog: FaultyServer, browser: Client, ada: User) -> None:
    before = make_session(catalog, ada)
    page = read(browser.get(read(browser.get(f"/sessions/{before.session_id}/")).one(id="other-sources")["href"]))
    assert ticked(page) == []
    browser.post(NEW, form_on(page).fields() | {"index_ids": ["idx-policies"]})
    assert ChatSession.objects.exclude(pk=before.pk).get().follows == before


def test_a_successor_survives_a_search_and_a_failure(catalog: FaultyServer, browser: Client, ada: User) -> None:
    before = make_session(catalog, ada)
    fields = fresh_form(browser, f"?from={before.session_id}")
    searched = browser.post(NEW, fields | {"show": "1", "index_ids": ["idx-policies"], "find": "pol"}, follow=True)
    assert ticked(read(searched)) == ["idx-policies"], "not the old one's again"
    catalog.script("POST", CHAT, [failing(422)])
    refused = read(browser.post(NEW, form_on(read(searched)).fields()))
    browser.post(NEW, form_on(refused).fields())
    assert ChatSession.objects.exclude(pk=before.pk).get().follows == before


def test_a_successor_of_an_unbound_session_is_unbound(catalog: FaultyServer, browser: Client, ada: User) -> None:
    before = make_session(catalog, ada, index_ids=None)
    assert fresh_form(browser, f"?from={before.session_id}")["binding"] == ["unbound"]


def test_a_predecessor_nobody_knows_is_ignored(catalog: FaultyServer, browser: Client) -> None:
    page = read(browser.get(NEW + "?from=ses-unknown"))
    assert "follows" not in page.text
    assert shown(page) == ["Policies", "Reports"]
