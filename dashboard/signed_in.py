"""Who is signed in, kept in the database; read the short way, because every request needs it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.core import signing
from django.utils import timezone

from dashboard.rows import find

_KEY = re.compile(r"[a-z0-9]{8,40}")
KEPT = 500
"""People whose session is known to be genuine as it is stored now."""


class SessionStore(db.SessionStore):
    """Django's, but for how its row is read."""

    def _get_session_from_db(self) -> Session | None:
        now = timezone.now()
        # A cookie may hold anything, also what no database takes.
        if _KEY.fullmatch(self.session_key or ""):
            for row in find(Session, "session_key", [self.session_key]):
                if row.expire_date > now:
                    return row
        self._session_key = None
        return None

    def decode(self, session_data: str) -> dict[str, Any]:  # type: ignore[override]  # no column holds bytes
        """Django's, but what was found genuine once is not checked again while it stays the same."""
        try:
            read: dict[str, Any] = self.serializer().loads(_checked(session_data, self.key_salt))
        except Exception:
            # Django tells of what is damaged, and makes an empty session of it.
            return super().decode(session_data)
        return read


@lru_cache(maxsize=KEPT)
def _checked(session_data: str, salt: str) -> bytes:
    """A session's contents as its serializer wrote them.

    Raises:
        Exception: it was not made here, or is damaged.
    """
    contents: bytes = signing.loads(session_data, salt=salt, serializer=_AsItIs)
    return contents


class _AsItIs(signing.JSONSerializer):
    """Reads nothing: what a serializer would be given is what is wanted."""

    def loads(self, data: bytes) -> bytes:
        """The same."""
        return data
