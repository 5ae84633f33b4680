"""Fills the database of a house in a process of its own: ``python -m tests.e2e.seed '{"sessions": {…}, "gone": […]}'``.

Makes the tables and the people of the tests, reads the catalog and the sessions from LlamaCloud, gives each session the
owner that is named, and marks some as gone. Prints, as JSON, a signed-in browser's cookie for every person.
"""

from __future__ import annotations

import json
import sys

import django

PASSWORD = "correct horse battery staple"
PEOPLE = {"ada": "Ada", "ben": "Ben", "cy": "Cy"}


def main(sessions: dict[str, str], gone: list[str]) -> dict[str, str]:
    """Do it all for id → owner and the ids of those that are gone; answer person → value of the session cookie."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from dashboard.catalog.sync import refresh_catalog
    from dashboard.chats.models import ChatSession
    from dashboard.chats.sync import fetch_unknown, mark_gone
    from dashboard.config import upstream_client

    call_command("migrate", verbosity=0)
    for name, first in PEOPLE.items():
        make = User.objects.create_superuser if name == "cy" else User.objects.create_user
        make(name, password=PASSWORD, first_name=first)
    refresh_catalog(upstream_client())
    for session_id, owner in sessions.items():
        fetch_unknown(upstream_client(), session_id)
        ChatSession.objects.filter(session_id=session_id).update(owner=User.objects.get(username=owner))
    for session_id in gone:
        mark_gone(ChatSession.objects.get(session_id=session_id))
    return {name: _cookie(User.objects.get(username=name)) for name in PEOPLE}


def _cookie(person: object) -> str:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    assert isinstance(person, User)
    client = Client()
    client.force_login(person)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


if __name__ == "__main__":
    django.setup()
    print(json.dumps(main(**json.loads(sys.argv[1]))))  # noqa: T201
