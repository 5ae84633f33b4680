"""People who are signed in, each with a session to ask in; run with the dashboard's environment over a filled database.

``python benchmarks/askers.py PEOPLE`` prints one JSON list: each one's session cookie and session.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

import django

SOURCES = 3


def make(people: int) -> list[dict[str, str]]:
    """Sign people in without hashing a password for each."""
    from django.contrib.auth.models import User
    from django.db import transaction

    from dashboard.chats.models import ChatSession, SessionSource

    now = datetime.now(UTC)
    made = []
    with transaction.atomic():
        for number in range(people):
            user = User.objects.create(username=f"asker{number}", password="!")
            session = ChatSession.objects.create(
                session_id=f"ses-asked-{number:04}",
                project_id="prj-main",
                is_bound=True,
                owner=user,
                shared_access="read_only",
                last_updated_at=now,
                first_seen_at=now,
                synced_at=now,
            )
            SessionSource.objects.bulk_create(
                SessionSource(session=session, index_id=f"idx-{position:04}", position=position)
                for position in range(SOURCES)
            )
            made.append({"cookie": _signed_in(user), "session_id": session.session_id})
    return made


def _signed_in(user: Any) -> str:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "dashboard.accounts.Backend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return str(store.session_key)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    django.setup()
    print(json.dumps(make(int(sys.argv[1]))))
