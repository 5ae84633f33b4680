"""Requests, answers and refusals in LlamaCloud's shapes (contract.md §1, §2), on top of plain WSGI."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

from pydantic import BaseModel, ValidationError

Body = TypeVar("Body", bound=BaseModel)
MAX_BODY_BYTES = 256 * 1024
"""Far above the largest legal body (ten ids and 1000 code points), far below what could hurt."""
_PREFIX = re.compile(r"(?P<prefix>/.*?)??(?P<path>/api/.*)", re.DOTALL)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}", re.ASCII)


class HttpError(Exception):
    """A request is refused; becomes the JSON error answer.

    Args:
        status: the HTTP status.
        detail: a sentence, or the list of problems of a 422.
        headers: extra answer headers.
    """

    def __init__(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def not_found(what: str) -> HttpError:
    """404 in the shape of contract.md §2."""
    return HttpError(404, f"{what} not found")


def conflict(detail: str) -> HttpError:
    """409 that the SDK does not retry: a retried stream call would post the prompt again (contract.md §1)."""
    return HttpError(409, detail, {"x-should-retry": "false"})


def invalid(location: tuple[str | int, ...], message: str, kind: str, value: object) -> HttpError:
    """422 with one problem in the list shape of contract.md §2."""
    return HttpError(422, [{"loc": list(location), "msg": message, "type": kind, "input": value}])


@dataclass(frozen=True)
class Response:
    """An answer: a JSON ``payload``, raw ``body`` bytes, or a ``stream`` of byte pieces."""

    status: int = 200
    payload: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    stream: Iterable[bytes] | None = None


def to_json(value: object) -> bytes:
    """One line of ASCII JSON: clients that split on U+2028 and the like would tear it apart (contract.md §7)."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


class Request:
    """One request, read from a WSGI environment.

    Attributes:
        method: in capitals.
        prefix: what stands before ``/api/`` (a base path is allowed, contract.md §1); empty without one.
        path: decoded, from ``/api/`` on; the whole path when there is no ``/api/``.
    """

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"].upper()
        raw = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        match = _PREFIX.fullmatch(raw)
        self.prefix: str = environ.get("SCRIPT_NAME", "") + ((match["prefix"] or "") if match else "")
        self.path: str = match["path"] if match else raw
        self._query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="replace")

    @property
    def origin(self) -> str:
        """Scheme, host and prefix this request came to, for addresses that point back here."""
        host = self.environ.get("HTTP_HOST") or f"{self.environ['SERVER_NAME']}:{self.environ['SERVER_PORT']}"
        return f"{self.environ['wsgi.url_scheme']}://{host}{self.prefix}"

    def texts(self, name: str) -> list[str]:
        """Every value of a repeated query parameter."""
        return self._query.get(name, [])

    def text(self, name: str) -> str | None:
        """The last value of a query parameter, or ``None``."""
        values = self.texts(name)
        return values[-1] if values else None

    def required(self, name: str) -> str:
        """A query parameter that must be there; 422 otherwise."""
        value = self.text(name)
        if value is None:
            raise invalid(("query", name), "Field required", "missing", None)
        return value

    def integer(self, name: str) -> int | None:
        """A whole-number query parameter; 422 when it is not one."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise invalid(("query", name), "Input should be a valid integer", "int_parsing", value)
        return int(value)

    def uuid(self, name: str) -> str | None:
        """A UUID query parameter in lower case; 422 when it is not one."""
        value = self.text(name)
        return None if value is None else read_uuid(value, ("query", name))

    def body(self, kind: type[Body]) -> Body:
        """Read the JSON body; 413 when too large, 422 when it does not fit ``kind``. No body at all reads as ``{}``."""
        raw = self._bytes()
        try:
            value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant) if raw else {}
            # A lone surrogate is legal in JSON's escapes and in Python, but no text that can be stored.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError):
            raise invalid(("body",), "JSON decode error", "json_invalid", {}) from None
        try:
            return kind.model_validate(value, strict=True)
        except ValidationError as problem:
            problems = problem.errors(include_url=False)
            raise HttpError(422, [dict(row, loc=["body", *row["loc"]]) for row in problems]) from None

    def _bytes(self) -> bytes:
        length = self.environ.get("CONTENT_LENGTH") or ""
        if not length and not self.environ.get("wsgi.input_terminated"):
            return b""
        wanted = int(length) if length else 16 * MAX_BODY_BYTES
        # Read the excess of a slightly too large body too, so that the refusal reaches the sender.
        body: bytes = self.environ["wsgi.input"].read(min(wanted, 16 * MAX_BODY_BYTES))
        if len(body) > MAX_BODY_BYTES or wanted > 16 * MAX_BODY_BYTES:
            raise HttpError(413, f"The body is larger than {MAX_BODY_BYTES} bytes", {"Connection": "close"})
        return body


def read_uuid(value: str, location: tuple[str | int, ...]) -> str:
    """A UUID in its usual form, lower-cased; 422 when it is not one."""
    if not _UUID.fullmatch(value):
        raise invalid(location, "Input should be a valid UUID", "uuid_parsing", value)
    return value.lower()


def _no_constant(name: str) -> None:
    raise ValueError(name)
