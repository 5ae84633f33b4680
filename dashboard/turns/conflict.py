"""What a 409 of LlamaCloud means: it has no fixed form (contract.md §7), but the session tells."""

from __future__ import annotations

from django.db import connection

from dashboard import upstream
from dashboard.turns.models import Turn
from dashboard.turns.past import split, words_of
from dashboard.turns.states import TurnState

RUNNING_ELSEWHERE = (
    "This session is answering a question that was asked outside Corral, and LlamaCloud answers one at a time."
    " Your question was not asked. Wait for that answer, then ask again."
)
SOURCES_FIXED = (
    "LlamaCloud did not accept these sources: the session is fixed to other ones. Your question was not asked."
    " Ask it in a new session with the sources you want."
)
BUSY_WITH_STOPPED = (
    "LlamaCloud is still finishing an answer that was stopped in this session, and it answers one at a time. Your"
    " question was not asked. Ask it again in a moment."
)
BUSY_WITH_CUT = (
    "LlamaCloud is still finishing an earlier answer of this session whose connection broke. Your question was not"
    " asked. Ask it again in a moment."
)
PASSING = (BUSY_WITH_STOPPED, BUSY_WITH_CUT)
"""What is over by itself, before long."""


def which_conflict(client: upstream.LlamaCloud, turn: Turn) -> str:
    """Say which of the things a 409 may mean it was (contract.md §7): it has no fixed form, but the session tells."""
    try:
        detail = client.chat(turn.session.session_id, project_id=turn.session.project_id or None)
    except upstream.UpstreamError:
        return upstream.Conflict.sentence
    history = list(split(detail.events))
    others = set() if detail.index_ids is None else set(detail.index_ids) ^ set(turn.index_ids)
    before = Turn.objects.accepted().filter(session=turn.session_id, number__lt=turn.number)
    last = before.order_by("-number").first()
    connection.close()
    if history and not history[-1].is_complete:
        ours = last is not None and words_of(last.prompt) == words_of(history[-1].prompt)
    elif others:
        return SOURCES_FIXED
    else:
        # It does not show what it is working on: the last thing asked here, if that was left in the middle.
        ours = last is not None and len(history) <= (last.position or last.history_before)
    if last is not None and ours and last.state == TurnState.STOPPED:
        return BUSY_WITH_STOPPED
    if last is not None and ours and last.state == TurnState.INTERRUPTED:
        return BUSY_WITH_CUT
    return RUNNING_ELSEWHERE
