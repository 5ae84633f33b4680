"""Turns that were asked elsewhere, read from LlamaCloud's history into the same conversation."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from dashboard import upstream
from dashboard.chats.models import ChatSession
from dashboard.turns.ending import figures, outcome_of, store_pieces
from dashboard.turns.models import LogEntry, Turn
from dashboard.turns.recover import PastTurn, find, split
from dashboard.turns.run import answer_of
from dashboard.turns.states import TurnState

LATE = (TurnState.INTERRUPTED, TurnState.STOPPED)
"""Ends after which LlamaCloud may still have finished the answer."""


def import_history(session: ChatSession, detail: upstream.ChatDetail) -> int:
    """Bring the conversation up to date with LlamaCloud's history.

    Turns of this dashboard are recognised and keep what they have; one that was interrupted or stopped gets the answer
    LlamaCloud finished later. Unknown ones are added. A question that is being answered right now is left alone.

    Args:
        session: the session.
        detail: its whole history.

    Returns:
        how many turns were added or completed.
    """
    history = [past for past in split(detail.events) if past.is_complete or past.position]
    known = set(Turn.objects.filter(session=session, position__isnull=False).values_list("position", flat=True))
    changed = 0
    open_turns = list(Turn.objects.filter(session=session, position=None).order_by("number"))
    for turn in open_turns:
        past = find(turn, [past for past in history if past.position not in known])
        if past is None or not past.is_complete:
            continue
        known.add(past.position)
        changed += _complete(turn, past)
    fresh = [past for past in history if past.position not in known and past.is_complete]
    for start in range(0, len(fresh), 50):
        changed += _add(session, fresh[start : start + 50])
    return changed


def _complete(turn: Turn, past: PastTurn) -> int:
    """Remember a turn's place; give a late one the answer it did not get."""
    if turn.is_live:
        return 0
    if turn.state not in LATE:
        Turn.objects.filter(pk=turn.pk).update(position=past.position)
        return 0
    answer = answer_of(past)
    state, error = outcome_of(answer, read_back=True)
    if turn.state == TurnState.STOPPED:
        state, error = TurnState.STOPPED, ""
    with transaction.atomic():
        Turn.objects.filter(pk=turn.pk, state=turn.state).update(
            state=state, error=error, position=past.position, **figures(answer)
        )
        store_pieces(turn, answer)
    return 1


def _add(session: ChatSession, batch: list[PastTurn]) -> int:
    now = timezone.now()
    with transaction.atomic():
        number = Turn.objects.filter(session=session).aggregate(last=Max("number"))["last"] or 0
        for offset, past in enumerate(batch, start=1):
            answer = answer_of(past)
            state, error = outcome_of(answer)
            turn = Turn.objects.create(
                session=session,
                number=number + offset,
                state=state,
                prompt=past.prompt,
                index_ids=[],
                position=past.position,
                asked_at=now,
                finished_at=now,
                error=error,
                **figures(answer),
            )
            store_pieces(turn, answer)
            LogEntry.objects.bulk_create(_steps(turn, past))
    return len(batch)


def _steps(turn: Turn, past: PastTurn) -> list[LogEntry]:
    """The events worth unfolding later: everything but the answer itself, which is stored rendered."""
    from dashboard.turns.answer import Answer

    log = Answer()
    entries = [entry for event in past.events for entry in log.take(event)]
    return [
        LogEntry(turn=turn, number=entry.number, type=entry.type, data=entry.data)
        for entry in entries
        if entry.type not in ("text", "text_delta", "thinking_delta")
    ]
