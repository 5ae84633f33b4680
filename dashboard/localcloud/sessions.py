"""Chat sessions: create, list, retrieve, summary, delete (contract.md §6)."""

from __future__ import annotations

import json
import secrets
import sqlite3
from typing import Any

from dashboard.localcloud.http import Request, Response, not_found
from dashboard.localcloud.indexes import Indexes
from dashboard.localcloud.paging import Pager
from dashboard.localcloud.projects import check_tenant
from dashboard.localcloud.store import Store, utc_now
from dashboard.upstream.contract import SessionCreate

_NEWEST = "SELECT * FROM sessions ORDER BY last_updated_at DESC, session_id DESC LIMIT ?"
_AFTER = (
    "SELECT * FROM sessions WHERE (last_updated_at, session_id) < (?, ?)"
    " ORDER BY last_updated_at DESC, session_id DESC LIMIT ?"
)
DEFAULT_SHARED_ACCESS = "read_only"


def summary(row: sqlite3.Row) -> dict[str, Any]:
    """The summary object; nullable fields are always there."""
    return {
        "session_id": row["session_id"],
        "last_updated_at": row["last_updated_at"],
        "shared_access": row["shared_access"],
        "generated_title": row["generated_title"],
        "index_ids": json.loads(row["index_ids"] or "null"),
        "job_metadata": json.loads(row["job_metadata"] or "null"),
    }


class Sessions:
    """Answers the session calls except the stream."""

    def __init__(self, store: Store, indexes: Indexes, pager: Pager) -> None:
        self._store = store
        self._indexes = indexes
        self._pager = pager

    def create(self, request: Request) -> Response:
        """201 with the summary; 404 when an index is unknown. An empty list means unbound, as null does."""
        check_tenant(request)
        body = request.body(SessionCreate)
        known = {self._indexes.resolve(given)["id"]: given for given in reversed(body.index_ids or ())}
        bound = list(reversed(known.values())) or None
        with self._store.write() as db:
            row = db.execute(
                "INSERT INTO sessions (session_id, last_updated_at, shared_access, index_ids) VALUES (?, ?, ?, ?)"
                " RETURNING *",
                (
                    f"ses-{secrets.token_hex(12)}",
                    utc_now(),
                    body.shared_access or DEFAULT_SHARED_ACCESS,
                    json.dumps(bound) if bound else None,
                ),
            ).fetchone()
        return Response(201, summary(row))

    def list_all(self, request: Request) -> Response:
        """Newest first."""
        check_tenant(request)
        return Response(payload=self._pager.page(request, "chat", self._fetch))

    def retrieve(self, request: Request, session_id: str) -> Response:
        """The summary and every event, oldest first."""
        check_tenant(request)
        with self._store.read() as db:
            row = find(db, session_id)
            events = db.execute("SELECT event FROM events WHERE session_id = ? ORDER BY id", (session_id,)).fetchall()
        return Response(payload={**summary(row), "events": [json.loads(event["event"]) for event in events]})

    def get_summary(self, request: Request, session_id: str) -> Response:
        """The same object as in the list."""
        check_tenant(request)
        with self._store.read() as db:
            return Response(payload=summary(find(db, session_id)))

    def delete(self, request: Request, session_id: str) -> Response:
        """204 once, 404 afterwards. A turn that is running notices and ends."""
        check_tenant(request)
        with self._store.write() as db:
            find(db, session_id)
            db.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))
        return Response(204, body=b"")

    def _fetch(self, after: list[Any] | None, size: int) -> list[tuple[list[Any], dict[str, Any]]]:
        with self._store.read() as db:
            rows = db.execute(_AFTER if after else _NEWEST, [*(after or ()), size]).fetchall()
        return [([row["last_updated_at"], row["session_id"]], summary(row)) for row in rows]


def find(db: sqlite3.Connection, session_id: str) -> sqlite3.Row:
    """The session's row; 404 when there is none."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM sessions WHERE session_id = ?", (session_id,)).fetchone()
    if row is None:
        raise not_found("Session")
    return row
