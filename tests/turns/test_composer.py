"""The form a question is asked with: what it offers, and what it remembers of the last one."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.catalog.models import Index, Project
from dashboard.chats.models import ChatSession
from dashboard.turns.models import Turn, TurnState
from dashboard.web.conversation import composer, suggestions
from tests.faulty import FaultyServer
from tests.web.conftest import address, make_session
from tests.web.pages import read

pytestmark = pytest.mark.postgres


@pytest.fixture
def unbound(catalog: FaultyServer, ada: User) -> ChatSession:
    """A session whose sources are chosen with each question."""
    return make_session(catalog, ada, index_ids=None)


def add_turn(session: ChatSession, number: int, **columns: Any) -> None:
    Turn.objects.create(
        session=session, number=number, prompt="?", state=TurnState.ANSWERED, asked_at=timezone.now(), **columns
    )


def test_the_sources_and_the_rule_of_the_last_question_are_remembered(unbound: ChatSession) -> None:
    add_turn(unbound, 1, index_ids=["idx-policies"])
    add_turn(unbound, 2, index_ids=["idx-reports"], require_all_indexes=True)
    add_turn(unbound, 3)  # asked elsewhere: nobody knows of what

    form = composer(unbound)

    assert [choice.id for choice in form["choices"] if choice.checked] == ["idx-reports"]
    assert (form["chosen"], form["require_all"]) == (["Reports"], True)


def test_what_was_chosen_for_a_refused_question_stays_chosen(unbound: ChatSession) -> None:
    add_turn(unbound, 1, index_ids=["idx-policies"], require_all_indexes=True)

    form = composer(unbound, prompt="Why?", chosen=["idx-reports"], require_all=False)

    assert (form["chosen"], form["require_all"], form["prompt"]) == (["Reports"], False, "Why?")


def test_sources_of_other_projects_are_not_offered(unbound: ChatSession) -> None:
    another = Project.objects.create(pk="another", name="Another", synced_at=timezone.now())
    Index.objects.filter(pk="idx-policies").update(project=another)

    assert [choice.id for choice in composer(unbound)["choices"]] == ["idx-reports"]


def test_that_all_must_answer_is_no_question_with_one_source(session: ChatSession, unbound: ChatSession) -> None:
    assert composer(session)["many_sources"] is False
    assert composer(unbound)["many_sources"] is True


def test_an_unbound_session_is_not_told_what_to_ask_of_which_source(unbound: ChatSession) -> None:
    assert len(suggestions(unbound)) == 2


@pytest.mark.parametrize(("turns_of_its_run", "suggested"), [(None, 2), (3, 0)])
def test_a_session_that_llamacloud_says_has_run_is_not_told_how_to_begin(
    unbound: ChatSession, browser: Client, turns_of_its_run: int | None, suggested: int
) -> None:
    """Its questions have not been read yet."""
    ChatSession.objects.update(job_turns=turns_of_its_run, questions=None)

    page = read(browser.get(address(unbound)))

    assert len(page.all("a", class_="suggestion")) == suggested
