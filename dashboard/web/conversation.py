"""The conversation of a session: its newest turns, and what the composer needs."""

from __future__ import annotations

import secrets
from typing import Any

from dashboard.catalog.models import Index
from dashboard.chats.models import ChatSession, LockState
from dashboard.turns.models import Turn
from dashboard.turns.runners import place_in_queue
from dashboard.upstream import MAX_PROMPT_CHARACTERS, MAX_SESSION_INDEXES
from dashboard.web.present import TurnView, index_choices, turn_view

TURNS_AT_ONCE = 20
"""Turns on the first screen; older ones are fetched when asked for."""


def conversation(session: ChatSession) -> dict[str, Any]:
    """What the conversation shows: the newest turns in reading order, whether there are older ones, what is live."""
    views, has_older = turn_views(session)
    live = next((view.turn for view in views if view.turn.is_live), None)
    return {
        "turns": views,
        "older_than": views[0].turn.number if has_older else None,
        "live": live,
        "queue_place": place_in_queue(live) if live is not None and live.state == "queued" else None,
    }


def turn_views(session: ChatSession, before: int | None = None) -> tuple[list[TurnView], bool]:
    """A screen of turns that end before a number, in reading order, and whether there are older ones."""
    turns = Turn.objects.filter(session=session).select_related("asked_by", "session").prefetch_related("pieces")
    if before is not None:
        turns = turns.filter(number__lt=before)
    page = list(turns.order_by("-number")[: TURNS_AT_ONCE + 1])
    shown = page[:TURNS_AT_ONCE][::-1]
    names = Index.objects.named({skipped for turn in shown for skipped in turn.skipped_index_ids})
    return [turn_view(turn, names) for turn in shown], len(page) > TURNS_AT_ONCE


def composer(
    session: ChatSession, *, prompt: str = "", problem: str = "", chosen: list[str] | None = None
) -> dict[str, Any]:
    """What the composer shows: the question as typed, and for an unbound session the sources to choose from."""
    choices: list[Any] = []
    if session.lock_state == LockState.UNBOUND:
        if chosen is None:
            last = Turn.objects.filter(session=session).exclude(index_ids=[]).order_by("-number").first()
            chosen = last.index_ids if last else []
        indexes = Index.objects.present().filter(project_id=session.project_id).defer("raw").order_by("name", "id")
        choices = index_choices(indexes, chosen)
    return {
        "prompt": prompt,
        "problem": problem,
        "nonce": secrets.token_urlsafe(18),
        "prompt_limit": MAX_PROMPT_CHARACTERS,
        "limit": MAX_SESSION_INDEXES,
        "choices": choices,
        "can_ask": session.lock_state != LockState.GONE,
    }
