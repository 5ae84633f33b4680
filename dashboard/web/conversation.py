"""The conversation of a session: its newest turns, and what the composer needs."""

from __future__ import annotations

import secrets
from typing import Any

from django.db.models import QuerySet

from dashboard.catalog.models import Index
from dashboard.chats.models import ChatSession, LockState
from dashboard.turns.entries import read_entries
from dashboard.turns.models import Turn
from dashboard.upstream import MAX_PROMPT_CHARACTERS, MAX_SESSION_INDEXES
from dashboard.web.answers import TurnView, views_of, with_first_pieces
from dashboard.web.live import snapshot
from dashboard.web.present import index_choices

TURNS_AT_ONCE = 20
"""Turns on the first screen; older ones are fetched when asked for."""
SCREENS = 3
"""Screens of older turns that come by themselves to whoever scrolls up; more of them come for a press."""
WAITED_FOR = 500
"""Turns without their whole answer that a page asks for at once, at most."""
NEWER_POLL = 5
"""Seconds between two questions of a page that is seen for turns it lacks: somebody else may ask in the session too.
LlamaCloud is not asked for them."""


def conversation(session: ChatSession) -> dict[str, Any]:
    """What the conversation shows: the newest turns in reading order, older ones if any, and what is live."""
    views, has_older = turn_views(session)
    return {
        "suggestions": suggestions(session) if not views and may_be_first(session) else [],
        "turns": views,
        "older_than": views[0].turn.number if has_older else None,
        "screens": SCREENS,
        "snapshot": live_part(views),
        "newer_seconds": NEWER_POLL,
    }


def turn_views(session: ChatSession, *, before: int | None = None, after: int = 0) -> tuple[list[TurnView], bool]:
    """A screen of turns, the newest between two numbers, in reading order; and whether there are older ones between."""
    turns = _as_shown(session).filter(number__gt=after)
    if before is not None:
        turns = turns.filter(number__lt=before)
    page = list(turns.order_by("-number")[: TURNS_AT_ONCE + 1])
    shown = page[:TURNS_AT_ONCE][::-1]
    return views_of(shown), len(page) > TURNS_AT_ONCE


def _as_shown(session: ChatSession) -> QuerySet[Turn]:
    """The turns of a session with everything a page shows of them, so that none of it is asked for turn by turn."""
    turns = Turn.objects.filter(session=session).select_related("asked_by", "stopped_by", "session")
    return with_first_pieces(turns)


def live_part(views: list[TurnView]) -> str:
    """What the one among these turns whose answer is live shows of it, if there is one."""
    live = next((view.turn for view in views if view.turn.is_live), None)
    return snapshot(live, read_entries(live.pk), orphaned=live.is_orphaned) if live is not None else ""


def may_be_first(session: ChatSession) -> bool:
    """Whether the next question may be the session's first, as far as is known."""
    return session.lock_state in (LockState.OPEN, LockState.UNBOUND) and not session.questions and not session.has_run


def suggestions(session: ChatSession) -> list[str]:
    """First questions somebody could ask who does not know yet what to ask."""
    if not session.is_bound:
        return ["What are these documents about?", "Which topics do these documents cover?"]
    catalog = Index.named(session.source_ids)
    names = [
        catalog[index_id].name for index_id in session.source_ids if index_id in catalog and catalog[index_id].name
    ]
    if not names:
        return ["What are these documents about?"]
    asked = [f"What is in {names[0]}?"]
    if len(names) > 1:
        asked.append(f"What do {names[0]} and {names[1]} have in common?")
    return [*asked, f"What are the five most important points of {names[-1]}?"]


def mended_views(session: ChatSession, late: list[int]) -> list[TurnView]:
    """The turns with these numbers, which a page shows without their whole answer, that have it by now."""
    waited_for = Turn.objects.filter(session=session, number__in=sorted(late)[-WAITED_FOR:])
    known = waited_for.only("number", "state", "position", "error_code").order_by("number")
    mended = [turn.number for turn in known if not turn.is_live and not turn.is_late]
    return views_of(list(_as_shown(session).filter(number__in=mended[-TURNS_AT_ONCE:])))


def new_nonce() -> str:
    """What makes a form another one: a form is a question, however often it is sent."""
    return secrets.token_urlsafe(18)


def composer(
    session: ChatSession,
    *,
    prompt: str = "",
    problem: str = "",
    chosen: list[str] | None = None,
    require_all: bool | None = None,
) -> dict[str, Any]:
    """What the composer shows: the question as typed, and for an unbound session the sources to choose from.

    Args:
        session: where to ask.
        prompt: the question as far as it is typed.
        problem: why it could not be taken.
        chosen: the sources ticked; those of the newest question if not given.
        require_all: whether all sources must answer; as with the newest question if not given.
    """
    choices: list[Any] = []
    last = Turn.objects.filter(session=session).exclude(index_ids=[]).order_by("-number").first()
    if session.lock_state == LockState.UNBOUND:
        if chosen is None:
            chosen = last.index_ids if last else []
        indexes = Index.objects.present().filter(project_id=session.project_id).defer("raw").order_by("name", "id")
        choices = index_choices(indexes, chosen)
    return {
        "prompt": prompt,
        "problem": problem,
        "running": None,
        "retry_after": None,
        "elsewhere_url": "",
        "nonce": new_nonce(),
        "prompt_limit": MAX_PROMPT_CHARACTERS,
        "limit": MAX_SESSION_INDEXES,
        "choices": choices,
        "chosen": [choice.name for choice in choices if choice.checked],
        "many_sources": bool(choices) or len(session.source_ids) > 1,
        "require_all": require_all if require_all is not None else bool(last and last.require_all_indexes),
        "can_ask": session.lock_state != LockState.GONE,
    }
