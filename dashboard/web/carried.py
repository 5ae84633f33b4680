"""A question on its way into another session.

Its words stay on the server: an address is too short for a long one, and is written to logs.
"""

from __future__ import annotations

from django.http import QueryDict

from dashboard.chats.models import ChatSession
from dashboard.rows import find
from dashboard.turns.models import Turn
from dashboard.web.present import successor_url
from dashboard.web.reading import note_reading
from dashboard.web.requests import Request

UNSENT = "unsent"
"""Stands in an address for a question that became no turn; it is kept with the sign-in."""
_KEPT = "unsent-question"


def carry_unsent(request: Request, session: ChatSession, prompt: str) -> str:
    """Keep a question that no turn holds; answer the address of a new session it goes along into."""
    request.session[_KEPT] = [session.session_id, prompt]
    return successor_url(session, question=UNSENT)


def carried_question(request: Request, query: QueryDict) -> str:
    """The question an address or a form speaks of.

    Args:
        request: who asks.
        query: ``from``, LlamaCloud's id of the session it was asked in, and ``question``: its number there, or
            ``UNSENT``.

    Returns:
        its words; empty if there is none, or none this person may see.
    """
    session_id, question = query.get("from", ""), query.get("question", "")
    if question == UNSENT:
        kept_for, prompt = request.session.get(_KEPT, ["", ""])
        return str(prompt) if kept_for == session_id else ""
    session = ChatSession.seen_by(request.user, session_id) if question.isdecimal() and len(question) < 10 else None
    if session is None:
        return ""
    asked = find(Turn, "session_id", [session.pk], number=int(question))
    if asked:
        note_reading(request, session)
    return asked[0].prompt if asked else ""
