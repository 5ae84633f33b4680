"""Reading an answer back from LlamaCloud when the stream that brought it was lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection

from dashboard import upstream
from dashboard.turns.answer import Answer
from dashboard.turns.models import Turn
from dashboard.turns.past import NOT_ASKED, STILL_OPEN, PastTurn, answer_of, find, split

READ_BACK_AFTER = (0.5, 2.0, 4.0, 8.0, 12.0)
"""Pauses in seconds between the tries to read a cut answer back: five within half a minute."""
CUT = "The connection to LlamaCloud broke before the answer was complete, and LlamaCloud has not stored it."
UNREACHABLE = (
    "The connection to LlamaCloud broke before the answer was complete, and LlamaCloud cannot be asked for it right"
    " now. If it has the answer, it will appear here."
)


@dataclass(frozen=True)
class Recovery:
    """What reading back brought.

    Args:
        answer: the whole answer, if LlamaCloud has it.
        reached: whether LlamaCloud has the question; ``None`` when it could not be asked.
        cut_short: the process is being shut down, so that nothing is known.
    """

    answer: Answer | None = None
    reached: bool | None = None
    cut_short: bool = False

    def explanation(self, seen: Answer) -> str:
        """Why there is no answer, in words; ``seen`` is what had come of it."""
        if self.reached is None:
            return UNREACHABLE
        if self.reached:
            return STILL_OPEN
        return CUT if seen.number else NOT_ASKED


def recover(
    client: upstream.LlamaCloud,
    turn: Turn,
    wait: Callable[[float], bool],
    *,
    give_up: Callable[[], bool] = lambda: False,
    absent_is_final: bool = False,
) -> Recovery:
    """Read a lost answer back, five times within half a minute.

    Args:
        client: the connection to LlamaCloud.
        turn: the turn; its ``position`` is set when it is found.
        wait: sleeps so many seconds; true when the process is being shut down.
        give_up: asked before each try.
        absent_is_final: the process that asked is dead, so a question that is not there now will not come any more.
    """
    reached = None
    for pause in READ_BACK_AFTER:
        # Nobody holds a database connection while there is nothing to do but wait.
        connection.close()
        if wait(pause):
            return Recovery(None, reached, cut_short=True)
        if give_up():
            break
        try:
            past = read_back(client, turn)
        except upstream.UpstreamError:
            continue
        if past is not None and past.is_complete:
            turn.position = past.position
            return Recovery(answer_of(past), True)
        if past is None and reached is False and absent_is_final:
            break
        reached = past is not None
    return Recovery(None, reached)


def read_back(client: upstream.LlamaCloud, turn: Turn) -> PastTurn | None:
    """Ask LlamaCloud what became of a question.

    Returns:
        the question with what followed it, complete or not; ``None`` when LlamaCloud does not have it.

    Raises:
        upstream.UpstreamError: it could not be asked.
    """
    detail = client.chat(turn.session.session_id, project_id=turn.session.project_id or None)
    return find(turn, list(split(detail.events)))
