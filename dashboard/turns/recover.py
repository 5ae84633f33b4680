"""Reading an answer back from LlamaCloud when the stream that brought it was lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dashboard import upstream
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
    """The turn's own place in the history: its question, not before it was asked, not claimed by another turn."""
    taken = set(
        Turn.objects.filter(session=turn.session_id, position__isnull=False)
        .exclude(pk=turn.pk)
        .values_list("position", flat=True)
    )
    for past in history:
        if past.position >= turn.history_before and past.prompt == turn.prompt and past.position not in taken:
            return past
    return None


def read_back(client: upstream.LlamaCloud, turn: Turn) -> PastTurn | None:
    """Ask LlamaCloud what became of a question.

    Returns:
        the question with what followed it, complete or not; ``None`` when LlamaCloud does not have it.

    Raises:
        upstream.UpstreamError: it could not be asked.
    """
    detail = client.chat(turn.session.session_id, project_id=turn.session.project_id or None)
    return find(turn, list(split(detail.events)))
