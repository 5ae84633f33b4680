"""LlamaCloud's history of a session as its questions, and where in it a question asked here stands."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from dashboard import upstream
from dashboard.turns.answer import Answer
from dashboard.turns.models import LogEntry, Turn
from dashboard.turns.states import LATE, LIVE, TurnState

NOT_ASKED = "The question did not reach LlamaCloud. Ask it again."
"""Said of a turn that LlamaCloud knew nothing of when it was asked."""
STILL_OPEN = (
    "The connection to LlamaCloud broke before the answer was complete. LlamaCloud may still finish it: it will then"
    " appear here."
)
"""Said of a turn whose question LlamaCloud had, without an end."""


@dataclass(frozen=True)
class PastTurn:
    """One question in LlamaCloud's history with what followed it.

    Args:
        position: its place among the history's questions, from 0.
        events: from the question on, up to the next one.
    """

    position: int
    events: tuple[upstream.Event, ...]

    @property
    def prompt(self) -> str:
        """The question."""
        first = self.events[0]
        return first.content if isinstance(first, upstream.UserInput) else ""

    @property
    def is_complete(self) -> bool:
        """Whether it has its stop event."""
        return isinstance(self.events[-1], upstream.Stop)


def split(events: Sequence[upstream.Event]) -> Iterator[PastTurn]:
    """Split a history on its questions (contract.md §7); nothing after a stop belongs to a turn."""
    current: list[upstream.Event] = []
    position = 0
    for event in events:
        if isinstance(event, upstream.UserInput) and current:
            yield PastTurn(position, tuple(current))
            position, current = position + 1, []
        if isinstance(event, upstream.UserInput) or (current and not isinstance(current[-1], upstream.Stop)):
            current.append(event)
    if current:
        yield PastTurn(position, tuple(current))


def find(turn: Turn, history: Sequence[PastTurn]) -> PastTurn | None:
    """The turn's own place in the history; see :func:`places`."""
    return places(turn.session_id, history).get(turn.pk)


def places(session_id: int, history: Sequence[PastTurn]) -> dict[int, PastTurn]:
    """Where in the history the questions stand that were asked here and whose place is not known yet, by turn.

    A question has its turn's words, no other turn claims it, and it stands where the turn was asked: behind what was
    known then and between the places of the questions asked here before and after it. Those asked in the same words
    stand there in the order they were asked in. If there are fewer places than turns, those turns go without that may
    never have reached LlamaCloud.
    """
    placed = Turn.objects.filter(session=session_id, position__isnull=False).values_list("number", "position", "nonce")
    taken = {position for _, position, _ in placed}
    asked_here = sorted(
        (number, position) for number, position, nonce in placed if nonce is not None and position is not None
    )
    unplaced = Turn.objects.filter(session=session_id, position=None).accepted().exclude(state=TurnState.QUEUED)
    is_logged = Exists(LogEntry.objects.filter(turn=OuterRef("pk")))
    alike: dict[tuple[str, int], list[Turn]] = {}
    for turn in unplaced.annotate(is_logged=is_logged).order_by("number"):
        between = bisect(asked_here, (turn.number,))
        alike.setdefault((words_of(turn.prompt), between), []).append(turn)
    said: dict[str, list[PastTurn]] = {}
    for past in history:
        if past.position not in taken:
            said.setdefault(words_of(past.prompt), []).append(past)
    found: dict[int, PastTurn] = {}
    for (words, between), turns in alike.items():
        low = max((position + 1 for _, position in asked_here[:between]), default=0)
        high = min((position for _, position in asked_here[between:]), default=math.inf)
        found |= _in_order(turns, [past for past in said.get(words, ()) if low <= past.position < high])
    return found


def _in_order(turns: Sequence[Turn], free: Sequence[PastTurn]) -> dict[int, PastTurn]:
    """Places for turns in the same words, first come first."""
    spare = len(free) - sum(map(_has_reached_llamacloud, turns))
    found: dict[int, PastTurn] = {}
    left_out: list[Turn] = []
    next_place = 0
    for turn in turns:
        if not _has_reached_llamacloud(turn):
            if spare <= 0 or turn.error == NOT_ASKED:
                left_out.append(turn)
                continue
            spare -= 1
        for place in range(next_place, len(free)):
            if free[place].position >= turn.history_before:
                found[turn.pk], next_place = free[place], place + 1
                break
    for turn in left_out:
        # It may have arrived late: but not behind what was asked after it.
        earlier = [found[other.pk].position for other in turns if other.pk in found and other.number < turn.number]
        later = [found[other.pk].position for other in turns if other.pk in found and other.number > turn.number]
        low, high = max([turn.history_before - 1, *earlier]), min(later, default=math.inf)
        if (past := next((past for past in free if low < past.position < high), None)) is not None:
            found[turn.pk] = past
    return found


def _has_reached_llamacloud(turn: Turn) -> bool:
    """Whether its question is surely in LlamaCloud's history, now or soon."""
    came = turn.is_logged or turn.state not in (*LIVE, *LATE)  # type: ignore[attr-defined]  # annotated
    return came or turn.error == STILL_OPEN


def words_of(prompt: str) -> str:
    """What two wordings of a question have in common that LlamaCloud may take for one (contract.md §14.13)."""
    return " ".join(unicodedata.normalize("NFC", prompt).split())


def answer_of(past: PastTurn) -> Answer:
    """The answer a piece of history holds."""
    answer = Answer()
    for event in past.events:
        answer.take(event)
    answer.close()
    return answer
