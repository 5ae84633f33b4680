"""A question that cannot be answered where it was asked goes along into a new session, however long it is."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession
from dashboard.turns.models import Turn, TurnState
from dashboard.upstream import Conflict
from tests.faulty import FaultyServer
from tests.people import SignIn
from tests.turns.conftest import ended, process
from tests.web.conftest import make_session
from tests.web.newform import NEW, form_on
from tests.web.pages import Element, read

__all__ = ["process"]  # questions are asked here, so its threads must be gone at the end
pytestmark = pytest.mark.postgres

LONG = "為什麼第三季的銷售額下降了？" * 71
"""994 of the 1,000 characters a question may have: as part of an address they would be nine times as many."""
LONGEST_ADDRESS = 8_190
ELSEWHERE = "New session with these sources and this question"


@pytest.fixture
def session(catalog: FaultyServer) -> ChatSession:
    return make_session(catalog)


def refused(session: ChatSession, person: User) -> Turn:
    """A question that LlamaCloud did not take because the session is fixed to other sources."""
    return Turn.objects.create(
        session=session, number=1, asked_by=person, prompt=LONG, asked_at=timezone.now(), index_ids=["idx-reports"],
        state=TurnState.FAILED, error="These sources are fixed.", error_code=Conflict.code,
    )  # fmt: skip


def link(page: Element) -> str:
    """The address that offers to ask elsewhere."""
    (found,) = (one["href"] for one in page.all("a") if one.text == ELSEWHERE)
    return found


def typed(page: Element) -> str:
    """What waits in the composer."""
    return page.one("textarea", id="prompt").text


def create(browser: Client, address: str) -> Element:
    """Follow the link, create the session, see its page."""
    page = read(browser.get(address))
    assert LONG[:100] in page.one("main").text
    response: Any = browser.post(NEW, form_on(page).fields())
    assert response.status_code == 302
    assert len(response["Location"]) < LONGEST_ADDRESS
    assert LONG[:9] not in response["Location"]
    return read(browser.get(response["Location"]))


def test_a_refused_question_waits_in_the_new_session(session: ChatSession, ada: User, browser: Client) -> None:
    refused(session, ada)
    address = link(read(browser.get(f"/sessions/{session.session_id}/")))
    assert len(address) < 200

    assert typed(create(browser, address)) == LONG


def test_a_question_for_a_session_that_is_gone_waits_in_the_new_session(
    session: ChatSession, ada: User, browser: Client
) -> None:
    ChatSession.objects.update(gone_at=timezone.now())
    response = browser.post(f"/sessions/{session.session_id}/turns/", {"nonce": "one-nonce", "prompt": LONG})
    assert response.status_code == 409
    address = link(read(response))
    assert len(address) < 200

    assert typed(create(browser, address)) == LONG
    assert not Turn.objects.exists()


def test_of_two_questions_kept_each_link_carries_its_own_until_it_is_asked(
    catalog: FaultyServer, session: ChatSession, browser: Client
) -> None:
    ChatSession.objects.update(gone_at=timezone.now())
    where = f"/sessions/{session.session_id}/turns/"
    first, second = (
        link(read(browser.post(where, {"nonce": f"nonce-{words}", "prompt": words}))) for words in ("First?", "Second?")
    )
    assert "First?" in read(browser.get(first)).one("main").text
    assert "Second?" in read(browser.get(second)).one("main").text
    open_one = make_session(catalog)

    browser.post(f"/sessions/{open_one.session_id}/turns/", {"nonce": "nonce-3", "prompt": "First?"})

    ended(Turn.objects.get())
    assert "First?" not in read(browser.get(first)).one("main").text
    assert "Second?" in read(browser.get(second)).one("main").text


def test_somebody_else_s_unsent_question_is_not_shown(
    session: ChatSession, browser: Client, ben: User, signed_in: SignIn
) -> None:
    ChatSession.objects.update(gone_at=timezone.now())
    address = link(read(browser.post(f"/sessions/{session.session_id}/turns/", {"nonce": "n-1", "prompt": LONG})))

    page = read(signed_in(ben).get(address))

    assert LONG[:9] not in page.one("main").text


def test_seeing_a_question_this_way_is_a_reading_on_record(
    session: ChatSession, ada: User, ben: User, signed_in: SignIn
) -> None:
    refused(session, ada)

    page = read(signed_in(ben).get(f"{NEW}?from={session.session_id}&question=1"))

    assert LONG[:100] in page.one("main").text
    assert AuditEntry.objects.get(action="session.viewed").actor == ben


@pytest.mark.parametrize("question", ["2", "0", "x", "", "²", "9" * 30, "unsent-", "unsent-x"])
def test_a_question_that_does_not_exist_is_left_out(
    question: str, session: ChatSession, ada: User, browser: Client
) -> None:
    refused(session, ada)
    query = {"from": session.session_id, "question": question}

    page = read(browser.get(NEW, query))

    assert "Your question is kept" not in page.one("main").text
    assert "question" not in form_on(page).fields()
    response = browser.post(NEW, form_on(page).fields())
    assert urlsplit(response["Location"]).query == ""


def test_a_question_that_was_asked_is_not_offered_again(session: ChatSession, ada: User, browser: Client) -> None:
    refused(session, ada)
    address = link(read(browser.get(f"/sessions/{session.session_id}/")))
    response: Any = browser.post(NEW, form_on(read(browser.get(address))).fields())
    followed = response["Location"]
    assert typed(read(browser.get(followed))) == LONG

    Turn.objects.create(
        session=ChatSession.objects.get(follows=session), number=1, asked_by=ada, prompt=LONG,
        asked_at=timezone.now(), state=TurnState.ANSWERED,
    )  # fmt: skip
    ChatSession.objects.filter(follows=session).update(questions=1, first_asked_at=timezone.now())

    assert typed(read(browser.get(followed))) == ""


def test_who_was_signed_out_while_typing_without_javascript_is_shown_the_question(
    catalog: FaultyServer, session: ChatSession
) -> None:
    address = f"/sessions/{session.session_id}/"
    prompt = f"\n {LONG[:900]}\n\nAnd <b>why</b>?\u200b\n"
    response = Client().post(f"{address}turns/", {"prompt": prompt, "nonce": "one"})

    page = read(response)
    assert response.status_code == 403
    assert html.unescape(response.content.decode()).partition("readonly>\n")[2].startswith(f"{prompt}</textarea>")
    (sign_in,) = (one["href"] for one in page.all("a") if one.text == "Sign in" and "next=" in one["href"])
    assert parse_qs(urlsplit(sign_in).query)["next"] == [address]
    assert not Turn.objects.exists()
    assert not catalog.received("POST")


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"prompt": LONG}, {"HX-Request": "true"}),
        ({"prompt": LONG, "nonce": "retry-1"}, {}),
        ({"prompt": ""}, {}),
        ({"prompt": " "}, {}),
    ],
)
def test_who_was_signed_out_with_words_that_are_kept_or_with_none_just_signs_in(
    session: ChatSession, fields: dict[str, str], headers: dict[str, str]
) -> None:
    response = Client().post(f"/sessions/{session.session_id}/turns/", fields, headers=headers)
    assert response.status_code == 302
    assert urlsplit(response["Location"]).path == "/accounts/login/"
