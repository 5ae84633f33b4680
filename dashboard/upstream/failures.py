"""From a bad answer to an error of the tree: kind, support line, waiting time (contract.md §2)."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from dashboard.upstream.errors import (
    AccessRefused,
    BadRequest,
    Conflict,
    CreditsExhausted,
    Invalid,
    KeyRejected,
    NotFound,
    RateLimited,
    Refusal,
    Unreachable,
    UpstreamError,
    UpstreamFailed,
)
from dashboard.upstream.jsontext import mapped

LONGEST_WAIT = 60.0
"""Seconds; a longer ``Retry-After`` is cut to this."""
DETAIL_LIMIT = 500
"""Characters of LlamaCloud's own words kept for support."""
FAULT_LIMIT = 64 * 1024
"""Characters of JSON that are cleaned string by string; of more than that only a line is kept."""

_REFUSALS: dict[int, type[Refusal]] = {
    401: KeyRejected,
    402: CreditsExhausted,
    403: AccessRefused,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: Invalid,
    422: Invalid,
    429: RateLimited,
}
_ADDRESS = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>]+", re.IGNORECASE)
# A gateway often echoes a key shortened (llx-ab***yz), so whatever begins like one goes.
_KEY_LIKE = re.compile(r"\bllx-[^\s\"',;)}\]]*|\bBearer\s+[^\s\"',;)}\]]+", re.IGNORECASE)
_REQUEST_ID_HEADERS = (
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "cf-ray",
)


def clean(text: str, *, secrets: tuple[str, ...] = (), limit: int = DETAIL_LIMIT) -> str:
    """Text from outside, made fit for a support line.

    Args:
        text: anything upstream said.
        secrets: strings that must not survive (the API key, the upstream host).
        limit: characters to keep.

    Returns:
        one line without secrets, addresses, control or invisible characters.
    """
    # Invisible characters go first, so that none can hide inside a secret and save it from removal.
    shown = "".join(_visible(char) for char in text[: limit * 20])
    for secret in secrets:
        if secret:
            shown = re.sub(re.escape(secret), "[removed]", shown, flags=re.IGNORECASE)
    shown = _ADDRESS.sub("[address removed]", _KEY_LIKE.sub("[removed]", shown))
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def clean_event(event: Any, cleaned: Callable[[str], str], *, name: str = "") -> Any:
    """An event as sent, with what it says went wrong fit to be kept and shown: its ``error``, or all of an error event.

    Args:
        event: a JSON value; whatever is no object stays as it is.
        cleaned: :func:`clean`, knowing the secrets.
        name: the stream's own name for the event.
    """
    if not isinstance(event, dict):
        return event
    if "error" in (event.get("type"), name):
        fault = _clean_fault(event, cleaned)
        return fault if isinstance(fault, dict) else {"type": "error", "message": fault}
    return event | {"error": _clean_fault(event["error"], cleaned)} if "error" in event else event


def clean_session(session: Any, cleaned: Callable[[str], str]) -> Any:
    """The same of a session as sent: of its last run, and of every event if its history came along."""
    if not isinstance(session, dict):
        return session
    session = dict(session)
    if "job_metadata" in session:
        session["job_metadata"] = clean_event(session["job_metadata"], cleaned)
    if isinstance(session.get("events"), list):
        session["events"] = [clean_event(event, cleaned) for event in session["events"]]
    return session


def _clean_fault(said: Any, cleaned: Callable[[str], str]) -> Any:
    # Cleaning takes its time with each string, and all answers of a process are read by one thread.
    is_long = not isinstance(said, str) and len(json.dumps(said)) > FAULT_LIMIT
    return mapped(told(said) if is_long else said, cleaned)


def _visible(char: str) -> str:
    if char.isspace():
        return " "
    return "" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn") else char


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as upstream asks: ``retry-after-ms``, else ``Retry-After`` in seconds or as an HTTP date.

    Returns:
        0 to :data:`LONGEST_WAIT`, or ``None`` when absent or not understood.
    """
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        wait /= 1000
    else:
        value = headers.get("retry-after")
        wait = _number(value)
        if wait is None and value:
            try:
                when = parsedate_to_datetime(value)
            except (ValueError, TypeError, IndexError, OverflowError):
                return None
            if when.tzinfo is None:
                when = when.replace(tzinfo=UTC)
            wait = max(0.0, (when - datetime.now(UTC)).total_seconds())
    return None if wait is None else min(wait, LONGEST_WAIT)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def error_for(status: int, headers: Mapping[str, str], body: bytes, *, secrets: tuple[str, ...] = ()) -> UpstreamError:
    """The error a non-success answer means.

    Args:
        status: upstream's status, 400 or above.
        headers: the answer's headers, case-insensitive.
        body: its body, perhaps shortened; JSON or anything else.
        secrets: strings to remove from what is kept.
    """
    wait = retry_after(headers)
    seconds = None if wait is None else math.ceil(wait)
    detail = describe(status, headers, body, secrets=secrets)
    if status == 407:
        return Unreachable(detail, upstream_status=status)
    if status >= 500 or status == 408:
        return UpstreamFailed(detail, retry_after=seconds, upstream_status=status)
    return _REFUSALS.get(status, BadRequest)(detail, retry_after=seconds, upstream_status=status)


def describe(status: int, headers: Mapping[str, str], body: bytes, *, secrets: tuple[str, ...] = ()) -> str:
    """The support line of an answer: status, LlamaCloud's own words, request id."""
    parts = [f"LlamaCloud answered {status}"]
    words = clean(_own_words(headers, body), secrets=secrets)
    if words:
        parts.append(f": {words}")
    for name in _REQUEST_ID_HEADERS:
        request_id = clean(headers.get(name, ""), secrets=secrets, limit=100)
        if request_id:
            parts.append(f" (request {request_id})")
            break
    return "".join(parts)


def _own_words(headers: Mapping[str, str], body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        # A page from a proxy says nothing to support that its status does not, and may name hosts.
        is_page = text.startswith("<") or "html" in headers.get("content-type", "").lower()
        return "a web page instead of data" if is_page and text else text
    return told(answer)


def told(answer: Any) -> str:
    """``detail`` of any shape (contract.md §2), or what other services use for it."""
    if isinstance(answer, Mapping):
        for name in ("detail", "message", "error", "title"):
            if answer.get(name) not in (None, "", [], {}):
                return told(answer[name]) if name == "detail" else _as_text(answer[name])
    if isinstance(answer, list):
        return "; ".join(_one_problem(row) for row in answer[:10])
    return _as_text(answer)


def _one_problem(row: Any) -> str:
    """One row of a validation list, ``{"loc": ["body", "prompt"], "msg": …}``; the rejected input itself stays out."""
    if not (isinstance(row, Mapping) and isinstance(row.get("msg"), str)):
        return _as_text(row)
    place = row.get("loc")
    where = ".".join(str(step) for step in place) if isinstance(place, list) else ""
    return f"{where}: {row['msg']}" if where else str(row["msg"])


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value in (None, {}, []) else json.dumps(value, ensure_ascii=False)
