"""Turns that were asked elsewhere, read from LlamaCloud's history into the same conversation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from dashboard import upstream
from dashboard.chats.models import ChatSession
from dashboard.rows import hold, insert_all
from dashboard.turns.answer import Answer
from dashboard.turns.ending import add_steps, figures, log_rows, outcome_of, store_pieces
from dashboard.turns.models import AnswerPiece, Turn
from dashboard.turns.past import PastTurn, answer_of, places, split
from dashboard.turns.states import LATE, TurnState

BUDGET = 5.0
"""Seconds one reading of a history may take, as a page waits for it: tens of thousands of questions take longer."""
BATCH = 50
"""Turns added in one transaction; they are rendered before it, so that nobody waits for that."""
NEVER_FINISHED = "The answer was never finished at LlamaCloud."


def import_history(session: ChatSession, detail: upstream.ChatDetail) -> bool:
    """Bring the conversation up to date with LlamaCloud's history, or nearer to it.

    Turns of this dashboard are recognised and keep what they have; one that was interrupted or stopped gets the answer
    LlamaCloud finished later. Unknown ones are added, the oldest first, until ``BUDGET`` is spent. A question that is
    being answered right now is left alone. It may be called as often as one likes, and by several processes at once.

    Args:
        session: the session.
        detail: its whole history.

    Returns:
        whether all of it is here now; otherwise the next call goes on, each at least by one turn.
    """
    ends = time.monotonic() + BUDGET
    history = list(split(detail.events))
    # The last question may still be in the middle of its answer; an earlier one without an end never gets one.
    ended = [past for past in history if past.is_complete or past is not history[-1]]
    known = _places(session)
    found = places(session.pk, history)
    for turn in Turn.objects.filter(pk__in=found):
        past = found[turn.pk]
        known.add(past.position)
        if past.is_complete:
            _complete(turn, past)
            if time.monotonic() > ends:
                return False
    fresh = [past for past in ended if past.position not in known]
    for batch in _rendered(fresh, ends):
        _add(session, batch)
        if time.monotonic() > ends:
            return batch[-1][0] is fresh[-1]
    return True


def is_unread(session: ChatSession) -> bool:
    """Whether LlamaCloud is known to have more questions than the conversation shows."""
    accepted = Turn.objects.filter(session=session).accepted()
    return bool(session.questions) and accepted.count() < (session.questions or 0)


def _places(session: ChatSession, among: Sequence[int] | None = None) -> set[int]:
    placed = Turn.objects.filter(session=session, position__isnull=False)
    if among is not None:
        placed = placed.filter(position__in=among)
    return {position for position in placed.values_list("position", flat=True) if position is not None}


def _complete(turn: Turn, past: PastTurn) -> None:
    """Remember a turn's place; give a late one the answer it did not get."""
    if turn.is_live:
        return
    mine = Turn.objects.filter(pk=turn.pk, state=turn.state, position=None)
    if turn.state not in LATE:
        mine.update(position=past.position)
        return
    answer = answer_of(past)
    state, error = outcome_of(answer, read_back=True)
    if turn.state == TurnState.STOPPED:
        state, error = TurnState.STOPPED, ""
    with transaction.atomic():
        if not mine.update(state=state, error=error, position=past.position, **figures(answer)):
            return
        if not answer.failed_without_a_word:
            store_pieces(turn, answer)
        add_steps(turn, answer)


def _rendered(fresh: Iterable[PastTurn], ends: float) -> Iterator[list[tuple[PastTurn, Answer]]]:
    """Turns with their answers, as many at once as are added at once; fewer when the time is over meanwhile."""
    batch: list[tuple[PastTurn, Answer]] = []
    for past in fresh:
        batch.append((past, answer_of(past)))
        if len(batch) == BATCH or time.monotonic() > ends:
            yield batch
            batch = []
    if batch:
        yield batch


def _add(session: ChatSession, batch: Sequence[tuple[PastTurn, Answer]]) -> None:
    now = timezone.now()
    with transaction.atomic():
        # Others who add turns to this session wait here, and then see these.
        hold(ChatSession, session.pk)
        known = _places(session, [past.position for past, _ in batch])
        rendered = [(past, answer) for past, answer in batch if past.position not in known]
        number = Turn.objects.filter(session=session).aggregate(last=Max("number"))["last"] or 0
        turns = Turn.objects.bulk_create(
            Turn(
                session=session,
                number=number + offset,
                prompt=past.prompt,
                position=past.position,
                asked_at=now,
                finished_at=now,
                log_pruned=True,
                **_ended(past, answer),
            )
            for offset, (past, answer) in enumerate(rendered, start=1)
        )
        _store_answers([(turn, answer) for turn, (_, answer) in zip(turns, rendered, strict=True)])


def _ended(past: PastTurn, answer: Answer) -> dict[str, Any]:
    if not past.is_complete:
        return {"state": TurnState.INTERRUPTED, "error": NEVER_FINISHED, **figures(answer)}
    state, error = outcome_of(answer)
    return {"state": state, "error": error, **figures(answer)}


def _store_answers(answers: Sequence[tuple[Turn, Answer]]) -> None:
    """The rendered pieces, and the steps worth unfolding later."""
    insert_all(
        [
            AnswerPiece(turn=turn, position=position, html=html)
            for turn, answer in answers
            for position, html in enumerate(answer.pieces())
        ]
    )
    insert_all([row for turn, answer in answers for row in log_rows(turn, answer.steps)])
