"""``python -m tests.chats.submitter TOKEN USER_ID``: one submission of the form, from a process of its own.

Prints the session's id, or the name of what was raised.
"""

from __future__ import annotations

import os
import sys


def main(token: str, user_id: str) -> None:
    """Set Django up as the web server does, then submit."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    import django

    django.setup()
    from django.contrib.auth.models import User

    from dashboard.config import upstream_client
    from tests.chats.helpers import submit

    try:
        session = submit(upstream_client(), User.objects.get(pk=user_id), token)
    except Exception as error:
        print(type(error).__name__, flush=True)  # noqa: T201 - its answer
    else:
        print(session.session_id, flush=True)  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
