"""Lock and run states: the property of one row and the word for the database are one rule, for every combination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.chats.states import LockState, RunState

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]
NOW = timezone.now()
COLUMNS: dict[str, tuple[Any, ...]] = {
    "gone_at": (None, NOW),
    "is_bound": (False, True),
    "generated_title": ("", "What of Q3?..."),
    "title": ("", "Ours"),
    "questions": (None, 0, 1),
    "is_running": (False, True),
    "job_turns": (None, 0, 1),
    "job_is_error": (None, False, True),
    "job_error": ("", "a warning"),
}


def combinations() -> Iterator[dict[str, Any]]:
    for values in product(*COLUMNS.values()):
        yield dict(zip(COLUMNS, values, strict=True))


@pytest.fixture
def every_session(db: None) -> list[ChatSession]:
    """One session for each combination of all columns that matter, or might be mistaken to."""
    ChatSession.objects.bulk_create(
        ChatSession(session_id=f"ses-{number}", last_updated_at=NOW, first_seen_at=NOW, synced_at=NOW, **columns)
        for number, columns in enumerate(combinations())
    )
    return list(ChatSession.objects.all())


def lock_by_the_book(session: ChatSession) -> LockState:
    """Decision 4, written once more: gone beats all; unbound has nothing to lock; any sign of a question locks."""
    if session.gone_at:
        return LockState.GONE
    if not session.is_bound:
        return LockState.UNBOUND
    signs = [session.generated_title != "", session.job_turns is not None, (session.questions or 0) > 0]
    return LockState.LOCKED if any(signs) else LockState.OPEN


def run_by_the_book(session: ChatSession) -> RunState:
    """Running beats what the last run left; an error is one only if LlamaCloud says so, whatever its words."""
    if session.is_running:
        return RunState.RUNNING
    if session.job_turns is None:
        return RunState.NEVER
    return RunState.FAILED if session.job_is_error is True else RunState.SUCCEEDED


def test_the_lock_of_a_row_and_the_filter_for_it_agree_for_every_combination(every_session: list[ChatSession]) -> None:
    assert len(every_session) == 2 * 2 * 2 * 2 * 3 * 2 * 3 * 3 * 2
    for state in LockState:
        found = set(ChatSession.objects.in_lock_state(state).values_list("pk", flat=True))
        assert found == {session.pk for session in every_session if session.lock_state is state}
        assert found == {session.pk for session in every_session if lock_by_the_book(session) is state}
        assert found


def test_the_run_of_a_row_and_the_filter_for_it_agree_for_every_combination(every_session: list[ChatSession]) -> None:
    for state in RunState:
        found = set(ChatSession.objects.in_run_state(state).values_list("pk", flat=True))
        assert found == {session.pk for session in every_session if session.run_state is state}
        assert found == {session.pk for session in every_session if run_by_the_book(session) is state}
        assert found


@pytest.mark.usefixtures("every_session")
def test_every_session_is_in_exactly_one_state_of_each_kind() -> None:
    locks, runs = Counter[int](), Counter[int]()
    for lock in LockState:
        locks.update(ChatSession.objects.in_lock_state(lock).values_list("pk", flat=True))
    for run in RunState:
        runs.update(ChatSession.objects.in_run_state(run).values_list("pk", flat=True))
    everyone = Counter(ChatSession.objects.values_list("pk", flat=True))
    assert locks == everyone
    assert runs == everyone


def test_present_is_all_but_gone(every_session: list[ChatSession]) -> None:
    assert set(ChatSession.objects.present()) == {row for row in every_session if row.lock_state is not LockState.GONE}


def test_every_state_of_the_lock_is_explained_in_words_of_its_own() -> None:
    assert len({state.explanation for state in LockState}) == len(LockState)
