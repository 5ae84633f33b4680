"""Cursor pages with opaque, signed tokens (contract.md §3)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any

from dashboard.localcloud.http import HttpError, Request, invalid

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


class Pager:
    """Reads ``page_size`` and ``page_token`` and builds the envelope.

    A token holds the sort key of the last item served, so items that appear or move between two calls neither repeat
    a page nor tear a hole into it. It is signed over the list it belongs to: a token of another list, another filter
    or another database is refused with 400.

    Args:
        secret: the signing key, kept in the database.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def page(
        self,
        request: Request,
        of: str,
        fetch: Callable[[list[Any] | None, int], Sequence[tuple[list[Any], dict[str, Any]]]],
    ) -> dict[str, Any]:
        """One page.

        Args:
            request: carries the two parameters.
            of: names the list and its filters.
            fetch: given the key after which to begin (``None`` at the start) and a number of rows, returns at most
                that many ``(key, item)`` pairs in order.

        Returns:
            ``{"items": …, "next_page_token": …}``; the token is ``None`` on the last page, so a page that promises
            more is never empty.

        Raises:
            HttpError: 422 on a page size below 1, 400 on a token this list did not give out.
        """
        size = request.integer("page_size")
        if size is not None and size < 1:
            message = "Input should be greater than or equal to 1"
            raise invalid(("query", "page_size"), message, "greater_than_equal", size if size > -(2**53) else None)
        size = min(DEFAULT_PAGE_SIZE if size is None else size, MAX_PAGE_SIZE)
        token = request.text("page_token")
        rows = fetch(self._read(token, of) if token else None, size + 1)
        more = self._write(rows[size - 1][0], of) if len(rows) > size else None
        return {"items": [item for _, item in rows[:size]], "next_page_token": more}

    def _write(self, key: list[Any], of: str) -> str:
        text = json.dumps(key).encode()
        return base64.urlsafe_b64encode(self._sign(text, of) + text).decode().rstrip("=")

    def _read(self, token: str, of: str) -> list[Any]:
        try:
            raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raw = b""
        if not hmac.compare_digest(raw[:16], self._sign(raw[16:], of)):
            raise HttpError(400, "Invalid page token")
        key: list[Any] = json.loads(raw[16:])
        return key

    def _sign(self, text: bytes, of: str) -> bytes:
        return hmac.digest(self._secret, of.encode() + b"\0" + text, hashlib.sha256)[:16]
