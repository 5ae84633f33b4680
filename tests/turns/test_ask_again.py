"""Asking once more what was not answered: a new turn, whoever presses the button and however often."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.chats.models import ChatSession
from dashboard.chats.sync import mark_gone
from dashboard.turns.ask import BadQuestion, TurnRunning, retry
from dashboard.turns.models import Turn, TurnState
from dashboard.web import running
from tests.faulty import FaultyServer
from tests.people import SignIn
from tests.turns.conftest import ORIGIN, ended, put, question, script, slow, sse, stop, text
from tests.turns.test_ask import at_once
from tests.web.conftest import make_session

pytestmark = pytest.mark.postgres

ANSWER = sse(question(), text("So."), stop())


def failed(faulty: FaultyServer, session: ChatSession, person: User) -> Turn:
    script(faulty, session, sse(question(), stop(is_error=True, error="no")), ANSWER)
    return ended(put(session, person, require_all_indexes=True))


def test_asking_again_is_a_new_turn_with_the_same_words_and_sources(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    first = failed(faulty, session, ada)

    again = ended(retry(running.RUNNERS, first, actor=ada, origin=ORIGIN))

    assert (again.number, again.state, again.retry_of) == (2, TurnState.ANSWERED, first)
    assert (again.prompt, again.index_ids, again.require_all_indexes) == (first.prompt, first.index_ids, True)


def test_two_people_who_ask_again_share_the_new_turn(
    faulty: FaultyServer, session: ChatSession, ada: User, ben: User
) -> None:
    first = failed(faulty, session, ada)

    again = retry(running.RUNNERS, first, actor=ada, origin=ORIGIN)

    assert retry(running.RUNNERS, first, actor=ben, origin=ORIGIN) == again
    ended(again)


def test_two_people_who_ask_again_at_the_same_moment_share_the_new_turn(
    faulty: FaultyServer, session: ChatSession, ada: User, ben: User
) -> None:
    first = failed(faulty, session, ada)

    made = at_once(10, lambda n: retry(running.RUNNERS, first, actor=(ada, ben)[n % 2], origin=ORIGIN))

    assert {turn.pk for turn in made} == {ended(made[0]).pk}


def test_an_answered_question_is_not_asked_again(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, ANSWER)
    first = ended(put(session, ada))

    with pytest.raises(BadQuestion):
        retry(running.RUNNERS, first, actor=ada, origin=ORIGIN)


def test_the_button_asks_what_was_asked_whatever_its_form_says(
    faulty: FaultyServer, session: ChatSession, ada: User, ben: User, signed_in: SignIn
) -> None:
    first = failed(faulty, session, ada)
    form = {"nonce": f"retry-{first.pk}", "prompt": "Something else", "index_ids": ["idx-other"]}

    answer = signed_in(ben).post(f"/sessions/{session.session_id}/turns/", form)

    assert answer.status_code == 302
    again = ended(Turn.objects.get(number=2))
    assert (again.prompt, again.retry_of, again.asked_by) == (first.prompt, first, ben)


def test_the_button_of_another_session_is_refused_and_stays_free_for_its_own(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    first = failed(faulty, session, ada)
    other = make_session(faulty)

    refused = browser.post(f"/sessions/{other.session_id}/turns/", {"nonce": f"retry-{first.pk}", "prompt": "Mine"})

    assert refused.status_code == 422
    assert "Mine</textarea>" in refused.content.decode()
    assert not Turn.objects.filter(session=other).exists()
    script(faulty, session, ANSWER)
    assert ended(retry(running.RUNNERS, first, actor=ada, origin=ORIGIN)).retry_of == first


def test_a_button_that_is_refused_leaves_the_box_to_what_is_typed_there(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    first = failed(faulty, session, ada)
    second = put(slow(faulty, session), ada, "And how?")
    address, form = f"/sessions/{session.session_id}/turns/", {"nonce": f"retry-{first.pk}", "prompt": first.prompt}

    part = browser.post(address, form, headers={"HX-Request": "true"})
    page = browser.post(address, form)

    assert (part.status_code, part["HX-Retarget"]) == (409, "#composer-problem")
    assert TurnRunning.sentence in (said := part.content.decode())
    assert (f'data-running="{second.number}"' in said, "<textarea" in said) == (True, False)
    assert page.status_code == 409
    assert TurnRunning.sentence in (shown := page.content.decode())
    assert f"{first.prompt}</textarea>" not in shown


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "part"])
def test_a_button_in_a_session_that_is_gone_leads_into_a_new_one(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client, headers: dict[str, str]
) -> None:
    first = failed(faulty, session, ada)
    mark_gone(session)

    refused = browser.post(f"/sessions/{session.session_id}/turns/", {"nonce": f"retry-{first.pk}"}, headers=headers)

    assert refused.status_code == 409
    assert re.search(r'href="/sessions/new/\?from=[^"]+question=unsent-', refused.content.decode())
