"""Page images of documents: list, presigned address, content (contract.md §8)."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from dashboard.localcloud.http import HttpError, Request, Response, not_found
from dashboard.localcloud.paging import Pager
from dashboard.localcloud.pictures import CONTENT_TYPE, draw_page, page_number, picture_name
from dashboard.localcloud.projects import check_tenant
from dashboard.localcloud.store import Store

LIFETIME_SECONDS = 15 * 60
CONTENT_PATH = "/api/localcloud/attachments"
"""Where presigned addresses lead; no call of LlamaCloud lies there."""


class Attachments:
    """Answers the attachment calls and serves what their addresses point to."""

    def __init__(self, store: Store, pager: Pager) -> None:
        self._store = store
        self._pager = pager

    def list_all(self, request: Request) -> Response:
        """The page images of one document; a document without pages has none."""
        check_tenant(request)
        source = request.required("source_id")
        with self._store.read() as db:
            document = db.execute("SELECT read_at FROM documents WHERE id = ?", (source,)).fetchone()
        if document is None:
            raise not_found("File")

        def fetch(after: list[Any] | None, size: int) -> list[tuple[list[Any], dict[str, Any]]]:
            with self._store.read() as db:
                rows = db.execute(
                    "SELECT number, text FROM pages WHERE document_id = ? AND number > ? ORDER BY number LIMIT ?",
                    (source, *(after or [0]), size),
                ).fetchall()
            return [([row["number"]], self._shown(row["number"], row["text"], document["read_at"])) for row in rows]

        page = self._pager.page(request, f"attachments {source}", fetch)
        return Response(payload={**page, "total_size": None})

    def get(self, request: Request, attachment_name: str) -> Response:
        """A signed address that works without the key for :data:`LIFETIME_SECONDS`."""
        check_tenant(request)
        source = request.required("source_id")
        self._page_text(source, attachment_name)
        expires = int(time.time()) + LIFETIME_SECONDS
        place = f"{quote(source, safe='')}/{quote(attachment_name)}"
        signature = self._sign(source, attachment_name, str(expires))
        return Response(
            payload={
                "url": f"{request.origin}{CONTENT_PATH}/{place}?expires={expires}&signature={signature}",
                "expires_at": datetime.fromtimestamp(expires, UTC).isoformat().replace("+00:00", "Z"),
                "form_fields": None,
            }
        )

    def content(self, request: Request, source_id: str, attachment_name: str) -> Response:
        """The image itself; 403 when the address was changed or is too old."""
        expires, given = request.text("expires") or "", request.text("signature") or ""
        right = self._sign(source_id, attachment_name, expires)
        # Only a right signature proves that ``expires`` is a number this server wrote.
        if not hmac.compare_digest(given.encode(), right.encode()) or int(expires) < time.time():
            raise HttpError(403, "This address is not valid or has expired")
        number, text = self._page_text(source_id, attachment_name)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Cache-Control": "private, max-age=60",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(body=draw_page(number, text), headers=headers)

    def _page_text(self, source: str, name: str) -> tuple[int, str]:
        number = page_number(name)
        with self._store.read() as db:
            row = db.execute("SELECT text FROM pages WHERE document_id = ? AND number = ?", (source, number)).fetchone()
        if number is None or row is None:
            raise not_found("Attachment")
        return number, row["text"]

    def _sign(self, source: str, name: str, expires: str) -> str:
        message = "\n".join([quote(source), quote(name), quote(expires)]).encode()
        return hmac.new(self._store.secret, message, hashlib.sha256).hexdigest()

    @staticmethod
    def _shown(number: int, text: str, read_at: str) -> dict[str, Any]:
        return {"name": picture_name(number), "size": len(draw_page(number, text)), "last_modified": read_at}
