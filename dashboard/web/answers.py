"""What a conversation shows of a question and its answer, made from stored rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet
from django.urls import reverse
from django.utils.safestring import SafeString

from dashboard.catalog.models import Index
from dashboard.turns.answer import NO_STEP, PIECE
from dashboard.turns.ask import RETRY
from dashboard.turns.ending import NEVER_SENT
from dashboard.turns.models import AnswerPiece, LogEntry, Turn, TurnState
from dashboard.turns.states import NOT_READ
from dashboard.upstream import Conflict as UpstreamConflict
from dashboard.upstream import NotFound as UpstreamNotFound
from dashboard.web.present import source_views, successor_url

SHOWN_AT_ONCE = 200_000
"""Characters of an answer's HTML shown with the page; the rest is fetched when asked for."""
PIECES_AT_ONCE = SHOWN_AT_ONCE // PIECE + 1
"""Pieces that are read for it, of an answer that may have a thousand: so many are more than is shown."""


@dataclass(frozen=True, slots=True)
class CitationView:
    """A place that was read for an answer.

    Args:
        document, place: as people know them.
        source: the name of its source, where there were several.
        image_url: shows the page, where there is a picture of it.
    """

    document: str
    place: str
    source: str
    image_url: str


@dataclass(frozen=True, slots=True)
class TurnView:
    """One question with its answer, as the conversation shows it."""

    turn: Turn
    state: TurnState
    pieces: list[SafeString]
    more_from: int | None
    steps: str
    citations: list[CitationView]
    skipped: list[str]
    sources: list[str]

    @property
    def asked_by(self) -> str:
        """The name of the person, if they are still known."""
        person = self.turn.asked_by
        return person.get_full_name() or person.get_username() if person else ""

    @property
    def retry_nonce(self) -> str:
        """What the form of "Ask again" says to be taken for this turn's, once."""
        return f"{RETRY}{self.turn.pk}"

    @property
    def came_whole(self) -> bool:
        """Whether it was stopped here and LlamaCloud finished it all the same."""
        return self.state == TurnState.STOPPED and self.turn.position is not None

    @property
    def may_be_asked_again(self) -> bool:
        """Whether the answer, or the whole of it, is lacking and may come of asking once more."""
        lacks_it = self.state in (TurnState.FAILED, TurnState.INTERRUPTED, TurnState.STOPPED) and not self.came_whole
        return lacks_it and not self.is_being_read and self.turn.error_code != UpstreamNotFound.code

    @property
    def is_being_read(self) -> bool:
        """Whether its answer is still to be read out of LlamaCloud's history."""
        return self.turn.error_code == NOT_READ and self.turn.session.gone_at is None

    @property
    def was_sent(self) -> bool:
        """Whether LlamaCloud was asked at all."""
        return self.turn.error_code != NEVER_SENT

    @property
    def ask_elsewhere_url(self) -> str:
        """A new session with the same sources and this question, when LlamaCloud refused it in this one."""
        if self.turn.error_code not in (UpstreamConflict.code, UpstreamNotFound.code):
            return ""
        return successor_url(self.turn.session, question=str(self.turn.number))


def views_of(turns: Sequence[Turn]) -> list[TurnView]:
    """The views of many turns, which should come :func:`with_first_pieces`, with as few queries as for one."""
    names, stepped = sources_of(turns), with_steps(turns)
    return [turn_view(turn, names, has_steps=turn.pk in stepped) for turn in turns]


def turn_view(
    turn: Turn,
    names: Mapping[str, Index] | None = None,
    *,
    has_steps: bool | None = None,
    with_pieces: bool = True,
) -> TurnView:
    """Make a turn's view.

    Args:
        turn: the turn.
        names: the sources it names; see :func:`sources_of`.
        has_steps: whether there is something to unfold, if known; see :func:`with_steps`.
        with_pieces: whether the answer itself is shown; a live one has no pieces yet.
    """
    if has_steps is None:
        has_steps = bool(with_steps([turn]))
    pieces, more_from = first_pieces(turn) if with_pieces and not turn.is_live else ([], None)
    if names is None:
        names = sources_of([turn])
    # In a bound session they are the same for every question, and stand in the rail.
    chosen = [] if turn.session.is_bound else turn.index_ids
    return TurnView(
        turn=turn,
        state=TurnState(turn.state),
        pieces=pieces,
        more_from=more_from,
        steps=steps_line(turn) or ("How this was answered" if has_steps else ""),
        citations=citation_views(turn, names),
        skipped=[view.name for view in source_views(turn.skipped_index_ids, names)],
        sources=[view.name for view in source_views(chosen, names)],
    )


def with_steps(turns: Iterable[Turn]) -> set[int]:
    """The keys of those that called no tool and still have steps to show: thoughts, and what Corral does not know."""
    unsure = [turn.pk for turn in turns if not turn.tool_calls and not turn.is_live]
    if not unsure:
        return set()
    steps = LogEntry.objects.filter(turn__in=unsure).exclude(type__in=NO_STEP)
    return set(steps.values_list("turn_id", flat=True))


def sources_of(turns: Iterable[Turn]) -> dict[str, Index]:
    """The indexes that these turns name to a reader, by either of their ids: asked, read or skipped."""
    named: set[str] = set()
    for turn in turns:
        named.update(turn.skipped_index_ids, () if turn.session.is_bound else turn.index_ids)
        named.update(_indexes_read(turn))
    return Index.named_by_either(named) if named else {}


def _indexes_read(turn: Turn) -> set[str]:
    """The indexes its places are from, by either of their ids, if there is more than one to tell apart.

    What was asked elsewhere does not say which sources were in force.
    """
    read = {cited["index_id"] for cited in turn.citations if cited.get("index_id")}
    return read if max(len(read), len(turn.index_ids)) > 1 else set()


def citation_views(turn: Turn, names: Mapping[str, Index]) -> list[CitationView]:
    """The cited places, each with the address of its page image, which the server fetches (``turn-image``)."""
    views, images, read = [], 0, _indexes_read(turn)
    for cited in turn.citations:
        image_url = ""
        if cited.get("attachment_name"):
            image_url = reverse("turn-image", args=[turn.session.session_id, turn.number, images])
            images += 1
        index = names.get(cited.get("index_id", ""))
        source = index.name if index is not None and cited["index_id"] in read else ""
        views.append(CitationView(cited.get("document", ""), cited.get("place", ""), source, image_url))
    return views


def with_first_pieces(turns: QuerySet[Turn]) -> QuerySet[Turn]:
    """The turns with as much of their answers as is shown at once, in one query more."""
    return turns.prefetch_related(Prefetch("pieces", AnswerPiece.objects.filter(position__lt=PIECES_AT_ONCE)))


def first_pieces(turn: Turn, start: int = 0) -> tuple[list[SafeString], int | None]:
    """The rendered pieces from a position on, as many as fit in one go, and where the next go begins.

    Args:
        turn: the turn; one that came with its first pieces is asked for no others.
        start: the position.
    """
    shown: list[SafeString] = []
    size = 0
    is_read = "pieces" in getattr(turn, "_prefetched_objects_cache", ())
    pieces = turn.pieces.all() if is_read else turn.pieces.filter(position__gte=start)[:PIECES_AT_ONCE]
    for piece in pieces:
        if shown and (size + len(piece.html) > SHOWN_AT_ONCE or len(shown) == PIECES_AT_ONCE - 1):
            return shown, piece.position
        # Rendered and sanitised when it was stored (dashboard.turns.markdown).
        shown.append(SafeString(piece.html))
        size += len(piece.html)
    return shown, None


def names_of(told: Iterable[str]) -> dict[str, str]:
    """The names of sources that tools were told to search, by what they were told (contract.md §5)."""
    found = Index.named_by_either({one for one in told if one and "\0" not in one})
    return {one: index.name for one, index in found.items()}


def searching(turn: Turn) -> str:
    """What a tool call means while it runs."""
    count = len(turn.index_ids)
    return f"Searching {count} source{'s' if count != 1 else ''}…" if count else "Searching…"


def steps_line(turn: Turn) -> str:
    """What the tools did for the answer, in one human line."""
    if not turn.tool_calls:
        return ""
    sources = f"Searched {len(turn.index_ids)} source{'s' if len(turn.index_ids) != 1 else ''}"
    if not turn.index_ids:
        sources = f"Took {turn.tool_calls} step{'s' if turn.tool_calls != 1 else ''}"
    return f"{sources}, read {turn.passages} passage{'s' if turn.passages != 1 else ''}"
