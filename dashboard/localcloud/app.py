"""The WSGI application: which path is answered by what, who is let in, and how failures leave."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from wsgiref.types import StartResponse, WSGIEnvironment

from dashboard.localcloud.attachments import CONTENT_PATH, Attachments
from dashboard.localcloud.http import HttpError, Request, Response, to_json
from dashboard.localcloud.indexes import Indexes
from dashboard.localcloud.paging import Pager
from dashboard.localcloud.projects import Projects
from dashboard.localcloud.sessions import Sessions
from dashboard.localcloud.store import Store
from dashboard.localcloud.turns import Turns

log = logging.getLogger(__name__)
READY_WITHIN = 2.0
"""Seconds the start waits for the first indexing; a larger folder goes on in the background."""


class Route(NamedTuple):
    """A method and a path pattern, its handler, and whether it needs the key."""

    method: str
    pattern: re.Pattern[str]
    handler: Callable[..., Response]
    keyed: bool = True


class Localcloud:
    """The embedded server as a WSGI application.

    Args:
        docs: folder of documents; one sub-folder is one index.
        key: the API key callers must send.
        database: the SQLite file.
        token_delay: seconds between two pieces of an answer.
        sync_delay: seconds a requested sync waits before it works.
        keep_alive: seconds of silence after which a stream sends a comment (contract.md §7: at most 15).

    Raises:
        NotADirectoryError: ``docs`` is no folder.
    """

    def __init__(
        self,
        docs: Path,
        key: str,
        database: Path,
        *,
        token_delay: float = 0,
        sync_delay: float = 0,
        keep_alive: float = 10,
    ) -> None:
        if not docs.is_dir():
            raise NotADirectoryError(f"{docs} is not a folder")
        self._key = key.encode()
        self.store = Store(database)
        pager = Pager(self.store.secret)
        self.indexes = Indexes(self.store, pager, docs, sync_delay)
        self.turns = Turns(self.store, self.indexes, token_delay=token_delay, keep_alive=keep_alive)
        sessions, attachments = Sessions(self.store, self.indexes, pager), Attachments(self.store, pager)
        self._routes = _routes(Projects(pager), self.indexes, sessions, self.turns, attachments)
        self.turns.recover()
        self.indexes.discover(READY_WITHIN)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except HttpError as refusal:
            response = Response(refusal.status, {"detail": refusal.detail}, refusal.headers)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = Response(500, {"detail": "Internal Server Error"}, {"x-should-retry": "false"})
        return _send(response, start_response)

    def close(self) -> None:
        """Stop background work and close the database."""
        self.turns.close()
        self.indexes.close()
        self.store.close()

    def _answer(self, request: Request) -> Response:
        matches = [(route, match) for route in self._routes if (match := route.pattern.fullmatch(request.path))]
        if not matches:
            raise HttpError(404, "Not Found")
        for route, match in matches:
            if route.method == request.method:
                if route.keyed:
                    self._check_key(request)
                return route.handler(request, **match.groupdict())
        raise HttpError(405, "Method Not Allowed", {"Allow": ", ".join(sorted({route.method for route, _ in matches}))})

    def _check_key(self, request: Request) -> None:
        scheme, _, given = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise HttpError(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})
        if not hmac.compare_digest(given.strip().encode("latin-1"), self._key):
            raise HttpError(401, "Invalid authentication token", {"WWW-Authenticate": "Bearer"})


def _routes(
    projects: Projects, indexes: Indexes, sessions: Sessions, turns: Turns, attachments: Attachments
) -> list[Route]:
    table: list[tuple[str, str, Callable[..., Response]]] = [
        ("GET", "/api/v1/projects", projects.list_v1),
        ("GET", "/api/v1/projects/{project_id}", projects.get),
        ("GET", "/api/v2/projects", projects.list_v2),
        ("GET", "/api/v2/projects/{project_id}", projects.get),
        ("GET", "/api/v1/indexes", indexes.list_all),
        ("GET", "/api/v1/indexes/{index_id}", indexes.get),
        ("POST", "/api/v1/indexes/{index_id}/sync", indexes.sync),
        ("POST", "/api/v1/indexes/{index_id}/sync/cancel", indexes.cancel_sync),
        ("POST", "/api/v1/chat", sessions.create),
        ("GET", "/api/v1/chat", sessions.list_all),
        ("GET", "/api/v1/chat/{session_id}", sessions.retrieve),
        ("DELETE", "/api/v1/chat/{session_id}", sessions.delete),
        ("GET", "/api/v1/chat/{session_id}/summary", sessions.get_summary),
        ("POST", "/api/v1/chat/{session_id}/messages/stream", turns.stream),
        ("GET", "/api/v1/beta/attachments", attachments.list_all),
        ("GET", "/api/v1/beta/attachments/{attachment_name:path}", attachments.get),
    ]
    content = Route(
        "GET", _pattern(f"{CONTENT_PATH}/{{source_id}}/{{attachment_name:path}}"), attachments.content, False
    )
    return [content, *(Route(method, _pattern(path), handler) for method, path, handler in table)]


def _pattern(path: str) -> re.Pattern[str]:
    """A path template; ``{name}`` is one segment, ``{name:path}`` may hold slashes (an encoded one arrives decoded)."""
    segments = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return re.compile(re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", segments), re.DOTALL)


def _send(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    body = to_json(response.payload) if response.body is None and response.stream is None else response.body
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **response.headers}
    if body is not None and response.status != HTTPStatus.NO_CONTENT:
        headers["Content-Length"] = str(len(body))
    if response.status == HTTPStatus.NO_CONTENT:
        del headers["Content-Type"]
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", list(headers.items()))
    return [body] if response.stream is None and body is not None else response.stream or ()
