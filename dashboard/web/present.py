"""What pages show of sessions and their sources, made from cached rows: plain values, with no query left to run."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse

from dashboard.catalog.models import Index, Readiness
from dashboard.chats.models import ChatSession, LockState, RunState

CHIPS_IN_A_ROW = 3
UNNAMED = "Source without a name"


@dataclass(frozen=True, slots=True)
class SourceView:
    """One document source of a session; ``readiness`` is ``None`` when LlamaCloud no longer lists the index."""

    index_id: str
    name: str
    readiness: Readiness | None
    description: str
    documents_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One line of the session list."""

    session: ChatSession
    title: str
    sources: list[SourceView]
    lock: LockState
    run: RunState
    url: str

    @property
    def first_sources(self) -> list[SourceView]:
        """The sources a row has room for."""
        return self.sources[:CHIPS_IN_A_ROW]

    @property
    def more_sources(self) -> int:
        """How many the row leaves out."""
        return max(0, len(self.sources) - CHIPS_IN_A_ROW)


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """One card of the source checklist."""

    id: str
    name: str
    description: str
    readiness: Readiness
    documents_at: datetime | None
    checked: bool


def session_row(session: ChatSession, catalog: Mapping[str, Index]) -> SessionRow:
    """Make a list row; ``session.sources`` should be prefetched and ``catalog`` hold the indexes it names."""
    return SessionRow(
        session=session,
        title=session.display_title,
        sources=source_views((source.index_id for source in session.sources.all()), catalog),
        lock=session.lock_state,
        run=session.run_state,
        url=reverse("session-detail", args=[session.session_id]),
    )


def source_views(index_ids: Iterable[str], catalog: Mapping[str, Index]) -> list[SourceView]:
    """Describe a bound set in its own order; an id the catalog does not know keeps its place under a plain name."""
    return [_source_view(index_id, catalog.get(index_id)) for index_id in index_ids]


def _source_view(index_id: str, index: Index | None) -> SourceView:
    if index is None:
        return SourceView(index_id, UNNAMED, None, "", None)
    readiness = index.readiness if index.gone_at is None else None
    return SourceView(index_id, index.name, readiness, index.description, index.documents_at)


def index_choices(indexes: Iterable[Index], chosen: Collection[str]) -> list[IndexChoice]:
    """Make the checklist's cards, ticked where ``chosen`` holds the id."""
    picked = frozenset(chosen)
    return [
        IndexChoice(
            id=index.id,
            name=index.name,
            description=index.description,
            readiness=index.readiness,
            documents_at=index.documents_at,
            checked=index.id in picked,
        )
        for index in indexes
    ]


def columns_of(session: ChatSession) -> list[object]:
    """Every loaded column of a session but the time of the reading: whatever a page may show of it, now or later."""
    loaded = [field.attname for field in ChatSession._meta.concrete_fields if field.attname in session.__dict__]
    return [getattr(session, name) for name in loaded if name != "synced_at"]


def fingerprint(*shown: object) -> str:
    """Condense what a region shows, so that a page can ask "anything other than this?" and be spared the same again."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def successor_url(session: ChatSession, **more: str) -> str:
    """The new-session form, set to follow this one."""
    return f"{reverse('session-new')}?{urlencode({'from': session.session_id, **more})}"
