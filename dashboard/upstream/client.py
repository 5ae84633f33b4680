"""LlamaCloud's calls, one method each (contract.md §4–§8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from dashboard.upstream.content import Content, fetch_presigned
from dashboard.upstream.contract import (
    ChatDetail,
    ChatParams,
    ChatSummary,
    Index,
    PresignedUrl,
    Project,
    SessionCreate,
    Wire,
)
from dashboard.upstream.endpoint import Request
from dashboard.upstream.errors import NotFound, UnreadableAnswer
from dashboard.upstream.failures import clean_session
from dashboard.upstream.paging import Listing, Page, read_all, read_page
from dashboard.upstream.stream import GAP_SECONDS, TurnStream
from dashboard.upstream.transport import Transport

W = TypeVar("W", bound=Wire)
ChatPage = Page[ChatSummary]

PAGE_SIZE = 100
"""Rows asked for in one page; a server may send fewer (contract.md §3)."""
MAX_BYTES = 32 * 1024 * 1024


class LlamaCloud:
    """One key's view of LlamaCloud; make one for the process and share it between threads.

    Args:
        base_url: for instance ``https://api.cloud.llamaindex.ai``; a path prefix is kept (contract.md §1).
        api_key: belongs to one user, one project and one region (contract.md §1).
        project_id: the project of every call that names none; ``None`` leaves it to the key.
        organization_id: sent with every call when given.
        proxy: address of an HTTP proxy; the environment's are ignored.
        pool_size: connections kept open for reuse; at least as many as there are runners.
        read_budget: seconds for one read, with its retries and its body.
        create_budget: seconds for a creation or a deletion, which are never retried.
        max_bytes: longest answer accepted.
        stream_gap: seconds of silence after which a turn's answer counts as lost.

    Every method that takes ``project_id`` uses it instead of the client's own. Every method raises
    :class:`~dashboard.upstream.errors.UpstreamError` kinds and nothing else.

    Raises:
        ValueError: the address or the key cannot be used; the message names neither.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        project_id: str | None = None,
        organization_id: str | None = None,
        proxy: str | None = None,
        pool_size: int = 32,
        read_budget: float = 5.0,
        create_budget: float = 10.0,
        max_bytes: int = MAX_BYTES,
        stream_gap: float = GAP_SECONDS,
    ) -> None:
        self._http = Transport(base_url, api_key, proxy=proxy, pool_size=pool_size, max_bytes=max_bytes)
        self.project_id = project_id
        self._organization_id = organization_id
        self._read_budget = read_budget
        self._create_budget = create_budget
        self._stream_gap = stream_gap

    def __repr__(self) -> str:
        return "<LlamaCloud>"

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def projects(self) -> Listing[Project]:
        """The key's projects, from the unpaged v1 call."""
        page = read_page(self._read(Request("GET", "/api/v1/projects", query=self._organization())), Project)
        return read_all(lambda _token, _seconds: page, lambda project: project.id)

    def projects_v2(self, *, deadline: float | None = None) -> Listing[Project]:
        """The organization's projects, from the paged v2 call; it needs an organization or a project's key."""
        return self._listing("/api/v2/projects", Project, lambda row: row.id, self._organization(), deadline)

    def project(self, project_id: str) -> Project:
        """One project."""
        values = {"project_id": _step(project_id)}
        return self._one(Request("GET", "/api/v1/projects/{project_id}", values, self._organization()), Project)

    def indexes(self, *, project_id: str | None = None, deadline: float | None = None) -> Listing[Index]:
        """The project's document indexes.

        Args:
            project_id: instead of the client's own.
            deadline: seconds for all pages together, 30 unless given.
        """
        return self._listing("/api/v1/indexes", Index, lambda row: row.id, self._tenant(project_id), deadline)

    def index(self, index_id: str, *, project_id: str | None = None, expand_sync: bool = False) -> Index:
        """One index; ``expand_sync`` also asks whether it is being synced right now (contract.md §5)."""
        query = self._tenant(project_id) | {"expand": "sync_in_progress" if expand_sync else None}
        return self._one(Request("GET", "/api/v1/indexes/{index_id}", {"index_id": _step(index_id)}, query), Index)

    def create_chat(self, body: SessionCreate, *, project_id: str | None = None) -> ChatSummary:
        """Create a session: one POST, never repeated, 200 and 201 alike (contract.md §6).

        Args:
            body: no sources, or an empty list of them, means unbound and goes out as ``null``.
            project_id: instead of the client's own.

        Raises:
            UpstreamError: with ``outcome`` ``"unknown"`` the session may exist.
        """
        sent: dict[str, Any] = {"index_ids": body.index_ids or None}
        if body.shared_access is not None:
            sent["shared_access"] = body.shared_access
        request = Request("POST", "/api/v1/chat", query=self._tenant(project_id), body=sent)
        return _read_as(self._clean(self._http.write(request, self._create_budget)), ChatSummary)

    def chats(
        self, *, project_id: str | None = None, page_token: str | None = None, page_size: int | None = None
    ) -> ChatPage:
        """One page of the project's sessions, in no promised order (contract.md §3)."""
        return self._chats(project_id, page_token, page_size, self._read_budget)

    def all_chats(
        self, *, project_id: str | None = None, deadline: float | None = None, page_size: int = PAGE_SIZE
    ) -> Listing[ChatSummary]:
        """All sessions of the project, through every page; ``deadline`` in seconds, 30 unless given."""
        return read_all(
            lambda token, left: self._chats(project_id, token, page_size, min(left, self._read_budget)),
            lambda chat: chat.session_id,
            deadline=deadline,
        )

    def chat(self, session_id: str, *, project_id: str | None = None) -> ChatDetail:
        """A session with its whole history of events."""
        request = self._of_chat("GET", "/api/v1/chat/{session_id}", session_id, project_id)
        return _read_as(self._clean(self._read(request)), ChatDetail)

    def chat_summary(self, session_id: str, *, project_id: str | None = None) -> ChatSummary:
        """A session without its history."""
        request = self._of_chat("GET", "/api/v1/chat/{session_id}/summary", session_id, project_id)
        return _read_as(self._clean(self._read(request)), ChatSummary)

    def delete_chat(self, session_id: str, *, project_id: str | None = None) -> None:
        """Delete a session for good: one DELETE, never repeated.

        Raises:
            NotFound: there was none, or it is hidden from this key.
        """
        self._http.once(
            self._of_chat("DELETE", "/api/v1/chat/{session_id}", session_id, project_id), self._create_budget
        )

    def stream(
        self,
        session_id: str,
        params: ChatParams,
        *,
        project_id: str | None = None,
    ) -> TurnStream:
        """Ask a question: one POST, never repeated. See :class:`TurnStream` for how to read and how to leave.

        Args:
            session_id: the session asked.
            params: a bound session's exact set of sources, the prompt, whether all sources must answer.
            project_id: instead of the client's own.
        """
        asked = self._of_chat("POST", "/api/v1/chat/{session_id}/messages/stream", session_id, project_id)
        accept = "text/event-stream, application/json"
        request = replace(asked, body=params.model_dump(), accept=accept, encoding="identity")
        return TurnStream(self._http, request, read_gap=self._stream_gap)

    def attachment(self, name: str, source_id: str, *, project_id: str | None = None) -> PresignedUrl:
        """The short-lived address of an attachment: resolve on demand, never store, never log it."""
        query = self._tenant(project_id) | {"source_id": source_id}
        return self._one(Request("GET", "/api/v1/beta/attachments/{name}", {"name": _step(name)}, query), PresignedUrl)

    def fetch_attachment(self, name: str, source_id: str, *, project_id: str | None = None) -> Content:
        """An attachment's bytes: its address is resolved, fetched at once without the key, and forgotten.

        Raises:
            UpstreamError: it could not be resolved, fetched, or is longer than an image may be.
        """
        address = self.attachment(name, source_id, project_id=project_id).url
        return fetch_presigned(address, proxies=self._http.proxies)

    def _organization(self) -> dict[str, str | int | None]:
        return {"organization_id": self._organization_id}

    def _tenant(self, project_id: str | None) -> dict[str, str | int | None]:
        return self._organization() | {"project_id": project_id or self.project_id}

    def _of_chat(self, method: str, template: str, session_id: str, project_id: str | None) -> Request:
        return Request(method, template, {"session_id": _step(session_id)}, self._tenant(project_id))

    def _read(self, request: Request, budget: float | None = None) -> Any:
        return self._http.read(request, self._read_budget if budget is None else budget)

    def _clean(self, session: Any) -> Any:
        """People are shown what went wrong: without the key and the addresses of machines (decision 8)."""
        return clean_session(session, self._http.clean)

    def _one(self, request: Request, model: type[W]) -> W:
        return _read_as(self._read(request), model)

    def _chats(self, project_id: str | None, token: str | None, size: int | None, budget: float) -> ChatPage:
        query = self._tenant(project_id) | {"page_size": size, "page_token": token}
        answer = self._read(Request("GET", "/api/v1/chat", query=query), budget)
        return read_page(answer, ChatSummary, mended=self._clean)

    def _listing(
        self,
        path: str,
        model: type[W],
        key: Callable[[W], str],
        query: dict[str, str | int | None],
        deadline: float | None,
    ) -> Listing[W]:
        def fetch(token: str | None, left: float) -> Page[W]:
            request = Request("GET", path, query=query | {"page_size": PAGE_SIZE, "page_token": token})
            return read_page(self._read(request, min(left, self._read_budget)), model)

        return read_all(fetch, key, deadline=deadline)


def _step(value: str) -> str:
    """One step of a path, percent-encoded with its slashes (contract.md §1).

    Raises:
        NotFound: empty, ``.`` or ``..``, which would name another path; nothing is sent.
    """
    if value in ("", ".", ".."):
        raise NotFound("an id that names nothing")
    return quote(value, safe="")


def _read_as(answer: Any, model: type[W]) -> W:
    try:
        return model.model_validate(answer)
    except (ValidationError, RecursionError):
        # Not chained: pydantic quotes what it read, which may be anything.
        raise UnreadableAnswer(f"LlamaCloud answered something that is no {model.__name__}") from None
