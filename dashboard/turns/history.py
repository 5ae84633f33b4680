"""Turns that were asked elsewhere, read from LlamaCloud's history into the same conversation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
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
from dashboard.turns.past import PastTurn, answer_of, places, split, words_of
from dashboard.turns.states import LATE, NOT_READ, TurnState

BUDGET = 5.0
"""Seconds one reading of a history may take, as a page waits for it: tens of thousands of questions take longer."""
BATCH = 50
"""Answers stored in one transaction; they are rendered before it, so that nobody waits for that."""
ROWS = 2_000
"""Questions added in one transaction, in which nobody else writes on SQLite."""
STALE = timedelta(minutes=10)
"""After it was added, how long a question may be missing in a history, which may be an older one of another process."""
NEVER_FINISHED = "The answer was never finished at LlamaCloud."
NOT_FETCHED = "The answer was not fetched from LlamaCloud in time."


def import_history(session: ChatSession, detail: upstream.ChatDetail) -> bool:
    """Bring the conversation up to date with LlamaCloud's history, or nearer to it.

    Turns of this dashboard are recognised and keep what they have; one that was interrupted or stopped gets the answer
    LlamaCloud finished later. Unknown ones are added, thousands at once, so that whoever asks next stands behind them;
    then they get their answers, the newest first, until ``BUDGET`` is spent. A question that is being answered
    right now is left alone. It may be called as often as one likes, and by several processes at once.

    Args:
        session: the session.
        detail: its whole history.

    Returns:
        whether all of it is here now; otherwise the next call goes on, each at least by one turn.
    """
    ends = time.monotonic() + BUDGET
    history = list(split(detail.events))
    found = places(session.pk, history)
    known = _places(session) | {past.position for past in found.values()}
    # The last question may still be in the middle of its answer; an earlier one without an end never gets one.
    over = {past.position: past for past in history if past.is_complete or past is not history[-1]}
    _add(session, [past for position, past in over.items() if position not in known])
    for turn in Turn.objects.filter(pk__in=found):
        if found[turn.pk].is_complete:
            _complete(turn, found[turn.pk])
            if time.monotonic() > ends:
                return False
    return _read(session, over, ends)


def is_unread(session: ChatSession) -> bool:
    """Whether LlamaCloud is known to have more questions or answers than the conversation shows."""
    turns = Turn.objects.filter(session=session)
    is_short = bool(session.questions) and turns.accepted().count() < (session.questions or 0)
    return is_short or turns.filter(error_code=NOT_READ).exists()


def _places(session: ChatSession) -> set[int]:
    placed = Turn.objects.filter(session=session, position__isnull=False)
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


def _add(session: ChatSession, fresh: Sequence[PastTurn]) -> None:
    """Add questions in their order, still without their answers."""
    now = timezone.now()
    for start in range(0, len(fresh), ROWS):
        with transaction.atomic():
            # Others who add turns to this session wait here, and then see these.
            hold(ChatSession, session.pk)
            known = _places(session)
            number = Turn.objects.filter(session=session).aggregate(last=Max("number"))["last"] or 0
            missing = [past for past in fresh[start : start + ROWS] if past.position not in known]
            insert_all(
                [
                    Turn(
                        session=session,
                        number=number + offset,
                        prompt=past.prompt,
                        position=past.position,
                        state=TurnState.INTERRUPTED,
                        error=NOT_FETCHED,
                        error_code=NOT_READ,
                        asked_at=now,
                        finished_at=now,
                        log_pruned=True,
                    )
                    for offset, past in enumerate(missing, start=1)
                ]
            )


def _read(session: ChatSession, history: Mapping[int, PastTurn], ends: float) -> bool:
    """Give the turns their answers that lack them; whether all of them have theirs now.

    Args:
        session: the session.
        history: its questions that have ended, by their places; another process may know more of them by now.
        ends: when to leave the rest for the next time.
    """
    lacking = Turn.objects.filter(session=session, error_code=NOT_READ)
    lost, waiting = [], []
    for turn in lacking.only("position", "prompt", "asked_at", "session").order_by("-number"):
        past = history.get(turn.position or 0)
        if past is not None and words_of(past.prompt) == words_of(turn.prompt):
            waiting.append((turn, past))
        elif past is not None or turn.asked_at < timezone.now() - STALE:
            lost.append(turn.pk)
    lacking.filter(pk__in=lost[:ROWS]).update(error_code="")
    done = 0
    for batch in _rendered(waiting, ends):
        with transaction.atomic():
            mine = Turn.objects.filter(error_code=NOT_READ)
            read = [
                (turn, answer)
                for turn, past, answer in batch
                if mine.filter(pk=turn.pk).update(error_code="", **_ended(past, answer))
            ]
            _store_answers(read)
        done += len(batch)
    return done == len(waiting)


def _rendered(waiting: Iterable[tuple[Turn, PastTurn]], ends: float) -> Iterator[list[tuple[Turn, PastTurn, Answer]]]:
    """Turns with their answers, as many at once as are stored at once; the last ones when the time is over."""
    batch: list[tuple[Turn, PastTurn, Answer]] = []
    for turn, past in waiting:
        batch.append((turn, past, answer_of(past)))
        is_over = time.monotonic() > ends
        if len(batch) == BATCH or is_over:
            yield batch
            batch = []
        if is_over:
            return
    if batch:
        yield batch


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
