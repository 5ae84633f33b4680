"""LlamaCloud's history of a session as its questions, and where in it a question asked here stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dashboard import upstream
from dashboard.turns.answer import Answer
from dashboard.turns.models import Turn


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
    """The turn's own place in the history.

    It has the turn's words, no other turn claims it, and it stands where the turn was asked: behind what was known then
    and between the places of the questions asked here before and after it. A question asked before it in the same words
    comes first, if it surely reached LlamaCloud.
    """
    others = Turn.objects.filter(session=turn.session_id).exclude(pk=turn.pk)
    placed = others.filter(position__isnull=False).values_list("number", "position", "nonce")
    taken = {position for _, position, _ in placed}
    asked_here = [
        (number, position) for number, position, nonce in placed if nonce is not None and position is not None
    ]
    low = max([turn.history_before, *(position + 1 for number, position in asked_here if number < turn.number)])
    high = min([position for number, position in asked_here if number > turn.number], default=None)
    alike = [
        past
        for past in history
        if past.prompt == turn.prompt
        and past.position not in taken
        and past.position >= low
        and (high is None or past.position < high)
    ]
    earlier = others.filter(position=None, number__lt=turn.number, prompt=turn.prompt, log__isnull=False)
    ahead = earlier.accepted().distinct().count()
    return alike[ahead] if len(alike) > ahead else None


def answer_of(past: PastTurn) -> Answer:
    """The answer a piece of history holds."""
    answer = Answer()
    for event in past.events:
        answer.take(event)
    answer.close()
    return answer
