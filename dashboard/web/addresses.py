"""Session ids as one step of an address, whatever characters LlamaCloud put into them."""

from __future__ import annotations

import re

ADDRESSES_OF_THEIR_OWN = ("new", "refresh")
"""Steps below ``/sessions/`` that are pages, not sessions."""
_ESCAPED = re.compile("~([0-9A-F]{2})")


class SessionIdConverter:
    """``<session:session_id>``: LlamaCloud's own id as it is, except for the few a path cannot hold.

    A server decodes ``%2F`` before it looks for the view and a browser resolves ``..`` before it asks, so a slash, an
    id of dots, one named like a page, and the escape itself are written ``~2F``, ``~2E``, ``~6E`` and ``~7E``. One odd
    id must not break the list that holds it.
    """

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        """Read the id.

        Raises:
            ValueError: NUL, which no id that is stored can hold.
        """
        session_id = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value)
        if "\0" in session_id:
            raise ValueError("not an id")
        return session_id

    def to_url(self, value: str) -> str:
        """Write the id; Django percent-encodes the result."""
        written = re.sub("[~/]", _escape, value)
        if written in ADDRESSES_OF_THEIR_OWN or written in (".", ".."):
            return re.sub("^.", _escape, written)
        return written


def _escape(match: re.Match[str]) -> str:
    return f"~{ord(match[0]):02X}"
