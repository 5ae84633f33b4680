"""A question on its way into another session.

Its words stay on the server: an address is too short for a long one, and is written to logs.
"""

from __future__ import annotations

import secrets

from django.http import QueryDict

from dashboard.chats.models import ChatSession
from dashboard.rows import find_one
from dashboard.turns.models import Turn
from dashboard.upstream import MAX_PROMPT_CHARACTERS
from dashboard.web.doors import note_reading
from dashboard.web.present import successor_url
from dashboard.web.requests import Request, number_in

UNSENT = "unsent-"
"""How an address names a question that became no turn; what follows is its key among those kept with the sign-in."""
KEPT_AT_MOST = 5
_KEPT = "unsent-questions"


def carry_unsent(request: Request, session: ChatSession, prompt: str) -> str:
    """Keep a question that no turn holds; answer the address of a new session it goes along into."""
    key = secrets.token_urlsafe(6)
    kept = {**request.session.get(_KEPT, {}), key: prompt[:MAX_PROMPT_CHARACTERS]}
    request.session[_KEPT] = dict(list(kept.items())[-KEPT_AT_MOST:])
    return successor_url(session, question=f"{UNSENT}{key}")


def forget_unsent(request: Request, prompt: str) -> None:
    """A question was asked: the same one, if it was kept, has found its place."""
    kept = request.session.get(_KEPT, {})
    if prompt in kept.values():
        request.session[_KEPT] = {key: words for key, words in kept.items() if words != prompt}


def carried_question(request: Request, query: QueryDict) -> str:
    """The question an address or a form speaks of.

    Args:
        request: who asks.
        query: ``from``, LlamaCloud's id of the session it was asked in, and ``question``: its number there, or
            ``UNSENT`` with a key.

    Returns:
        its words; empty if there is none, or none this person may see.
    """
    session_id, question = query.get("from", ""), query.get("question", "")
    if question.startswith(UNSENT):
        return str(request.session.get(_KEPT, {}).get(question.removeprefix(UNSENT), ""))
    number = number_in(question)
    session = ChatSession.seen_by(request.user, session_id) if number else None
    if session is None or number is None:
        return ""
    turn = find_one(Turn, "session_id", session.pk, number=number)
    if turn is None:
        return ""
    note_reading(request, session)
    return turn.prompt
