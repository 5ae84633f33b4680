"""Asking: once per form, one at a time per session, within everybody's share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from dashboard.audit.models import AuditEntry
from dashboard.catalog.models import Index, Project
from dashboard.chats.models import ChatSession, LockState
from dashboard.chats.sync import mark_gone
from dashboard.turns import standing as standing_module
from dashboard.turns.ask import BadQuestion, OtherForm, SessionGone, TooManyWaiting, TurnRunning
from dashboard.turns.ask import stop as stop_turn
from dashboard.turns.lease import claim
from dashboard.turns.models import Turn, TurnState
from dashboard.turns.standing import place_in_queue
from dashboard.upstream import MAX_PROMPT_CHARACTERS
from dashboard.web import running
from tests.faulty import FaultyServer
from tests.turns.conftest import ORIGIN, ended, put, question, script, slow, sse, stop, stream_path, text, until
from tests.web.conftest import make_session

pytestmark = pytest.mark.postgres

ANSWER = sse(question(), text("So."), stop())


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Do the same in several threads at the same moment; answer what each returned or raised."""
    barrier, results = threading.Barrier(count), [None] * count

    def one(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error  # type: ignore[call-overload]  # any of both is wanted
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_one_form_sent_eight_times_at_once_is_one_question(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, ANSWER, repeat=True)

    turns = at_once(8, lambda _: put(session, ada, nonce="the same"))

    assert {turn.pk for turn in turns} == {Turn.objects.get().pk}
    ended(turns[0])
    assert len(faulty.received("POST", stream_path(session))) == 1
    assert AuditEntry.objects.filter(action="turn.asked").count() == 1
    session.refresh_from_db()
    assert session.questions == 1


def test_a_question_changed_after_a_lost_answer_is_not_taken_for_the_first_one(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    slow(faulty, session)
    first = put(session, ada, "Why?", nonce="the same")

    with pytest.raises(TurnRunning) as refused:
        put(session, ada, "Why not?", nonce="the same")
    assert refused.value.turn == first
    with pytest.raises(TurnRunning):
        put(session, ada, "Why?", nonce="the same", require_all_indexes=True)
    assert put(session, ada, "Why?", nonce="the same") == first

    stop_turn(running.RUNNERS, first, actor=ada, origin=ORIGIN)
    ended(first)
    with pytest.raises(OtherForm):
        put(session, ada, "Why not?", nonce="the same")
    assert Turn.objects.count() == 1


def test_other_sources_for_the_same_question_are_another_question(catalog: FaultyServer, ada: User) -> None:
    free = make_session(catalog, index_ids=None)
    script(catalog, free, ANSWER)
    first = ended(put(free, ada, nonce="the same", index_ids=("idx-reports", "idx-reports")))

    assert put(free, ada, nonce="the same", index_ids=("idx-reports",)) == first
    with pytest.raises(OtherForm):
        put(free, ada, nonce="the same", index_ids=("idx-policies",))


def test_of_eight_questions_at_once_a_session_answers_one(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    slow(faulty, session)

    outcomes = at_once(8, lambda number: put(session, ada, nonce=f"form {number}"))

    turns = [one for one in outcomes if isinstance(one, Turn)]
    refused = [one for one in outcomes if isinstance(one, TurnRunning)]
    assert (len(turns), len(refused)) == (1, 7)
    assert {one.turn.pk for one in refused if one.turn} <= {turns[0].pk}
    assert all(one.status == 409 for one in refused)


def test_a_form_that_is_not_the_persons_own_asks_nothing(
    faulty: FaultyServer, session: ChatSession, ada: User, ben: User
) -> None:
    script(faulty, session, ANSWER)
    ended(put(session, ada, nonce="adas"))

    with pytest.raises(BadQuestion):
        put(session, ben, nonce="adas")
    with pytest.raises(BadQuestion):
        put(make_session(faulty), ada, nonce="adas")


@pytest.mark.parametrize("prompt", ["", "   \n", "x" * 1001, "nul\0"])
def test_what_cannot_be_a_question_is_not_asked(session: ChatSession, ada: User, prompt: str) -> None:
    with pytest.raises(BadQuestion):
        put(session, ada, prompt)
    assert not Turn.objects.exists()


def test_how_much_too_long_a_question_is_is_written_as_elsewhere(session: ChatSession, ada: User) -> None:
    with pytest.raises(BadQuestion) as refused:
        put(session, ada, "x" * 2500)
    assert "is 1,500 characters too long: LlamaCloud takes 1,000 at most" in refused.value.sentence


def test_a_thousand_characters_of_any_kind_are_asked(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, ANSWER)

    assert ended(put(session, ada, "\N{GRINNING FACE}" * 1000)).state == TurnState.ANSWERED


@pytest.mark.parametrize(("chosen", "fine"), [(0, False), (1, True), (10, True), (11, False)])
def test_an_unbound_session_takes_one_to_ten_sources(catalog: FaultyServer, ada: User, chosen: int, fine: bool) -> None:
    session = make_session(catalog, index_ids=None)
    script(catalog, session, ANSWER)
    ids = tuple(f"idx-{number}" for number in range(chosen))
    known = [Index(id=one, project_id=session.project_id, name=one, synced_at=timezone.now()) for one in ids]
    Index.objects.bulk_create(known)

    if fine:
        assert ended(put(session, ada, index_ids=(*ids, *ids[:1]))).index_ids == list(ids)
    else:
        with pytest.raises(BadQuestion):
            put(session, ada, index_ids=ids)


@pytest.mark.parametrize("odd", ["x" * 256, "nul\0", "idx-unheard-of", "../../v1/x", "gone", "elsewhere"])
def test_a_source_that_no_list_offers_is_not_sent(catalog: FaultyServer, ada: User, odd: str) -> None:
    session = make_session(catalog, index_ids=None)
    now, other = timezone.now(), Project.objects.create(id="prj-other", name="Other", synced_at=timezone.now())
    Index.objects.create(id="gone", project_id=session.project_id, name="Gone", synced_at=now, gone_at=now)
    Index.objects.create(id="elsewhere", project=other, name="Elsewhere", synced_at=now)

    with pytest.raises(BadQuestion):
        put(session, ada, index_ids=(odd,))


def test_blanks_around_a_question_are_not_asked(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, ANSWER)

    turn = ended(put(session, ada, "  Why?\n ", nonce="one"))

    assert turn.prompt == "Why?"
    assert faulty.received("POST", stream_path(session))[0].json()["prompt"] == "Why?"
    assert put(session, ada, "Why? ", nonce="one") == turn


def test_a_session_whose_bound_set_is_unknown_is_not_asked(catalog: FaultyServer, ada: User) -> None:
    session = make_session(catalog, index_ids=["x" * 300])

    with pytest.raises(BadQuestion):
        put(session, ada)


def test_a_session_that_is_gone_is_not_asked(session: ChatSession, ada: User) -> None:
    mark_gone(session)

    with pytest.raises(SessionGone):
        put(session, ada)


def test_the_record_holds_ids_and_choices_but_no_words(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, sse(question(), text("A secret answer."), stop()))

    turn = ended(put(session, ada, "A secret question?"))
    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)

    entries = [vars(entry) for entry in AuditEntry.objects.all()]
    assert entries
    assert "secret" not in str(entries)


# --- limits and the queue -------------------------------------------------------------------------------------------


@pytest.fixture
def sessions(catalog: FaultyServer) -> list[ChatSession]:
    return [slow(catalog, make_session(catalog)) for _ in range(8)]


def states(turns: list[Turn]) -> list[str]:
    return list(Turn.objects.filter(pk__in=[turn.pk for turn in turns]).order_by("pk").values_list("state", flat=True))


def test_a_persons_fourth_question_waits_and_is_taken_when_one_ends(sessions: list[ChatSession], ada: User) -> None:
    turns = [put(session, ada) for session in sessions[:5]]

    assert states(turns) == ["running"] * 3 + ["queued"] * 2
    assert [place_in_queue(turn) for turn in turns[3:]] == [1, 2]

    running.RUNNERS.stop(turns[1].pk)
    until(lambda: states(turns) == ["running", "stopped", "running", "running", "queued"])
    assert place_in_queue(turns[4]) == 1


def test_five_questions_of_one_person_at_once_never_run_together(sessions: list[ChatSession], ada: User) -> None:
    turns = at_once(5, lambda number: put(sessions[number], ada))

    assert sorted(states(turns)) == ["queued"] * 2 + ["running"] * 3


def test_who_has_many_waiting_does_not_hold_up_others(
    sessions: list[ChatSession], ada: User, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = [put(session, ada) for session in sessions[:6]]
    running.RUNNERS.closing = True  # Ben's question comes to a process that takes nothing more
    his = put(sessions[6], ben)
    assert states([his]) == ["queued"]
    running.RUNNERS.closing = False

    until(lambda: states([his]) == ["running"])
    assert states(mine) == ["running"] * 3 + ["queued"] * 3


def test_nobody_overtakes_those_who_wait_for_the_instance(
    sessions: list[ChatSession], ada: User, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_module, "RUNNING_LIMIT", 2)

    mine = [put(session, ada) for session in sessions[:3]]
    his = put(sessions[3], ben)

    assert states([*mine, his]) == ["running", "running", "queued", "queued"]
    running.RUNNERS.stop(mine[0].pk)
    until(lambda: states([*mine, his]) == ["stopped", "running", "running", "queued"])


def test_a_person_has_at_most_so_many_under_way(
    sessions: list[ChatSession], ada: User, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_module, "QUEUE_LIMIT", 4)
    for session in sessions[:4]:
        put(session, ada)

    with pytest.raises(TooManyWaiting) as refused:
        put(sessions[4], ada)
    assert (refused.value.status, refused.value.retry_after) == (429, 15)
    put(sessions[4], ben)


def test_a_waiting_question_is_claimed_by_one_process_only(sessions: list[ChatSession], ada: User) -> None:
    running.RUNNERS.closing = True
    turn = put(sessions[0], ada)

    won = at_once(6, lambda number: claim(turn, f"process {number}"))

    assert sorted(won) == [False] * 5 + [True]


def test_a_waiting_question_that_is_stopped_was_never_asked(
    catalog: FaultyServer, sessions: list[ChatSession], ada: User
) -> None:
    running.RUNNERS.closing = True
    turn = put(sessions[0], ada)

    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)
    running.RUNNERS.closing = False

    assert ended(turn).state == TurnState.STOPPED
    sessions[0].refresh_from_db()
    assert (sessions[0].first_asked_at, sessions[0].questions, sessions[0].is_running) == (None, 0, False)
    assert not catalog.received("POST", stream_path(sessions[0]))


def test_a_line_end_of_a_form_is_one_character(faulty: FaultyServer, session: ChatSession, browser: Client) -> None:
    """A browser sends two and counts one, so as much as it lets people type must be taken."""
    script(faulty, session, ANSWER)
    lines = "x\n" * (MAX_PROMPT_CHARACTERS // 2 - 1) + "x?"

    browser.post(f"/sessions/{session.session_id}/turns/", {"prompt": lines.replace("\n", "\r\n"), "nonce": "n1"})

    turn = ended(Turn.objects.get())
    assert (len(turn.prompt), turn.prompt) == (MAX_PROMPT_CHARACTERS, lines)
    assert faulty.received("POST", stream_path(session))[0].json()["prompt"] == lines


@pytest.mark.parametrize("before", [{}, {"first_asked_at": datetime(2026, 1, 2, tzinfo=UTC), "questions": 5}])
def test_a_turns_session_shows_what_the_question_made_of_it(
    faulty: FaultyServer, session: ChatSession, ada: User, before: dict[str, Any]
) -> None:
    """It is shown without being read again."""
    ChatSession.objects.filter(pk=session.pk).update(**before)
    turn = put(slow(faulty, session), ada)
    stored = ChatSession.objects.get(pk=session.pk)
    for name in ("first_asked_at", "is_running", "questions", "lock_state", "run_state"):
        assert getattr(turn.session, name) == getattr(stored, name), name
    assert (stored.questions, stored.lock_state) == (before.get("questions", 0) + 1, LockState.LOCKED)


def test_only_the_question_that_locks_the_sources_renews_what_is_said_of_them(
    faulty: FaultyServer, session: ChatSession, browser: Client
) -> None:
    script(faulty, session, ANSWER, repeat=True)

    def answer_to(nonce: str) -> str:
        answer = browser.post(
            f"/sessions/{session.session_id}/turns/",
            {"prompt": "Why?", "nonce": nonce},
            headers={"HX-Request": "true"},
        )
        ended(Turn.objects.get(nonce=nonce))
        return answer.content.decode()

    first, second = answer_to("one"), answer_to("two")

    assert 'hx-target="#sources-region"' in first
    assert "Locked" in first
    assert 'hx-target="#sources-region"' not in second
    for number, said in ((1, first), (2, second)):
        assert 'hx-target="#job-region"' in said
        assert f'data-newest-turn="{number}"' in said


# --- stopping -------------------------------------------------------------------------------------------------------


def test_who_stopped_an_answer_first_is_kept(faulty: FaultyServer, session: ChatSession, ada: User, ben: User) -> None:
    turn = put(slow(faulty, session), ada)

    stop_turn(running.RUNNERS, turn, actor=ben, origin=ORIGIN)
    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)

    turn = ended(turn)
    assert (turn.state, turn.asked_by, turn.stopped_by) == (TurnState.STOPPED, ada, ben)
    assert [entry.actor for entry in AuditEntry.objects.filter(action="turn.stopped")] == [ben]


def test_who_stopped_a_question_that_waited_is_kept(session: ChatSession, ada: User, ben: User) -> None:
    running.RUNNERS.closing = True
    turn = put(session, ada)

    stop_turn(running.RUNNERS, turn, actor=ben, origin=ORIGIN)

    assert ended(turn).stopped_by == ben


def test_what_has_ended_was_stopped_by_nobody(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, ANSWER)
    turn = ended(put(session, ada))

    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)

    assert ended(turn).stopped_by is None
