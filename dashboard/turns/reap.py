"""Ending a turn whose process died."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.db import transaction

from dashboard import upstream
from dashboard.turns.answer import Answer
from dashboard.turns.ending import add_steps, end_turn, outcome_of
from dashboard.turns.lease import release
from dashboard.turns.models import Turn
from dashboard.turns.recover import Recovery, recover
from dashboard.turns.states import TurnState


def reap(
    client: upstream.LlamaCloud,
    turn: Turn,
    holder: str,
    wait: Callable[[float], bool],
    stop_asked: Callable[[], bool] = lambda: False,
) -> None:
    """End an orphaned turn: recovered with the stored answer, stopped if that was asked, or plainly interrupted.

    Args:
        client: the connection to LlamaCloud.
        turn: the turn.
        holder: who has taken its lease.
        wait: sleeps so many seconds; true when this process is being shut down too: the next one goes on then.
        stop_asked: whether a person has stopped the turn meanwhile.
    """
    stopped = turn.stop_asked_at is not None
    recovery = Recovery() if stopped else recover(client, turn, wait, give_up=stop_asked, absent_is_final=True)
    if recovery.cut_short:
        release(turn, holder)
        return
    # Read and rendered before the transaction: that takes seconds for a long one, and rows would be held meanwhile.
    answer = recovery.answer
    seen = seen_so_far(turn) if answer is None or answer.failed_without_a_word else Answer()
    if answer is not None and answer.failed_without_a_word and seen.has_text:
        seen.stop, answer = answer.stop, seen
    with transaction.atomic():
        if answer is not None:
            state, error = outcome_of(answer, read_back=True)
            if end_turn(turn, state, answer, holder=holder, error=error, position=turn.position):
                add_steps(turn, answer)
        elif stopped or stop_asked():
            end_turn(turn, TurnState.STOPPED, seen, holder=holder, error="")
        else:
            end_turn(turn, TurnState.INTERRUPTED, seen, holder=holder, error=recovery.explanation(seen))


def seen_so_far(turn: Turn) -> Answer:
    """What the log holds of a turn, as an answer."""
    answer = Answer()
    for data in turn.log.order_by("number").values_list("data", flat=True):
        answer.take(upstream.read_event(json.loads(data)))
    answer.close()
    return answer
