"""Who is signed in, kept in the database; read the short way, because every request needs it."""

from __future__ import annotations

import re

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from dashboard.rows import find

_KEY = re.compile(r"[a-z0-9]{8,40}")


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
