"""Sessions as LlamaCloud writes them, submissions of the form, and many of them at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db import connection, connections

from dashboard.audit.trail import Origin
from dashboard.chats.create import SessionChoice, create_session
from dashboard.chats.models import ChatSession
from dashboard.upstream import ChatSummary, LlamaCloud
from tests.faulty import FaultyServer, Received

T = TypeVar("T")
ORIGIN = Origin(request_id="req-1", ip="192.0.2.7")
FORM = "form-1"
SOURCES = ("idx-reports", "idx-policies")
JOB: dict[str, Any] = {
    "turns": 3,
    "duration_ms": 5210.4,
    "is_error": False,
    "error": None,
    "total_input_tokens": 1843,
    "total_output_tokens": 212,
    "export_config_ids": ["exc-1", "exc-2"],
}


def wire(session_id: str, **changes: Any) -> dict[str, Any]:
    """A summary's JSON, of a bound session nobody has asked anything."""
    return {
        "session_id": session_id,
        "last_updated_at": "2026-04-22T12:34:41.342245",
        "shared_access": "read_only",
        "generated_title": None,
        "index_ids": ["idx-reports"],
        "job_metadata": None,
        **changes,
    }


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """The JSON of a deployment that does not know these fields."""
    return {name: value for name, value in row.items() if name not in names}


def summary(session_id: str = "ses-a", **changes: Any) -> ChatSummary:
    """The same, as read."""
    return ChatSummary.model_validate(wire(session_id, **changes))


def fill(faulty: FaultyServer, *rows: dict[str, Any]) -> None:
    """Let the server have these sessions."""
    faulty.chats.update({row["session_id"]: row for row in rows})


def submit(
    client: LlamaCloud,
    actor: User,
    token: str = FORM,
    *,
    index_ids: tuple[str, ...] | None = SOURCES,
    **choice: Any,
) -> ChatSession:
    """Press "Create session"."""
    chosen = SessionChoice(index_ids=index_ids, **choice)
    return create_session(client, actor=actor, token=token, choice=chosen, origin=ORIGIN)


def posts(faulty: FaultyServer) -> list[Received]:
    """The creation calls so far."""
    return faulty.received("POST", "/api/v1/chat")


def at_once(number: int, work: Callable[[], T]) -> list[T | Exception]:
    """Do the same in so many threads that start together; what each returned or raised."""
    outcomes: list[T | Exception] = []
    start = threading.Barrier(number)

    def run() -> None:
        start.wait()
        try:
            outcomes.append(work())
        except Exception as error:
            outcomes.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def database_url() -> str:
    """The address of this test's own database, for a child process."""
    at = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{at['NAME']}"
    person = f"{at['USER']}:{at['PASSWORD']}" if at["PASSWORD"] else at["USER"]
    return f"postgres://{person}@{at['HOST'] or '127.0.0.1'}:{at['PORT'] or 5432}/{at['NAME']}"
