"""HTTP to LlamaCloud: one pooled session, honest failures, bounded time and size (contract.md §1, §12).

Everything above asks for a document and gets its JSON or an error of the tree; nothing above sees `requests`.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from dashboard.upstream.coming import ComingAnswer
from dashboard.upstream.connections import CONNECT_SECONDS, Call
from dashboard.upstream.endpoint import Answer, Request, new_session, normalised, origin, target_of
from dashboard.upstream.errors import (
    AnswerLost,
    RateLimited,
    RedirectRefused,
    Unreachable,
    UnreadableAnswer,
    UpstreamError,
    UpstreamFailed,
)
from dashboard.upstream.failures import clean, describe, error_for, retry_after
from dashboard.upstream.jsontext import REMOVED, read_json

log = logging.getLogger("dashboard.upstream")

READ_ATTEMPTS = 3
REDIRECT_HOPS = 3
ERROR_BODY_BYTES = 64 * 1024
"""As much of an error answer as is read: it only yields a line of text."""
_CHUNK = 64 * 1024
_TRANSPORT_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError)


class Transport:
    """Safe to use from many threads at once.

    Args:
        base_url: as configured; a missing scheme becomes ``https://``, a trailing slash goes, a path prefix stays.
        api_key: sent as a bearer token to this origin only.
        proxy: the proxy's address, or ``None`` for a direct connection; the environment is not consulted.
        pool_size: connections kept open for reuse; callers beyond it get a connection of their own and never wait.
        max_bytes: longest body accepted, counted after decompression.

    Raises:
        ValueError: the address or the key cannot be used; the message names neither.
    """

    def __init__(self, base_url: str, api_key: str, *, proxy: str | None, pool_size: int, max_bytes: int) -> None:
        self._base = normalised(base_url)
        key = api_key.strip()
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ValueError("The API key is empty or holds characters that a key cannot have.")
        self.max_bytes = max_bytes
        self._key = key
        self._secrets = (key, urlsplit(self._base).netloc)
        self.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._session = new_session(key, pool_size)
        self._quiet_until = 0.0
        self._quiet_lock = threading.Lock()

    def __repr__(self) -> str:
        return "<Transport>"

    def close(self) -> None:
        """Close the pooled connections; calls made later open new ones."""
        self._session.close()

    def clean(self, text: str) -> str:
        """Text of upstream's, fit to be shown: no key, no address, one line."""
        return clean(text, secrets=self._secrets)

    def without_key(self, text: str) -> str:
        """Upstream may echo the key anywhere; it never gets further than here. A key is taken to be no number."""
        return text.replace(self._key, REMOVED)

    def split_at_key(self, text: str) -> tuple[str, str]:
        """A growing text without the key: what can be shown of it, and an end that may be the key's beginning."""
        text = self.without_key(text)
        start = max(0, len(text) - len(self._key) + 1)
        while (start := text.find(self._key[0], start)) >= 0:
            if self._key.startswith(text[start:]):
                return text[:start], text[start:]
            start += 1
        return text, ""

    def decoded(self, body: bytes | str) -> Any:
        """A JSON document of upstream's without the key.

        Raises:
            ValueError: it is none.
        """
        return read_json(body, without=self._key)

    def read(self, request: Request, budget: float) -> Any:
        """The JSON of a GET, tried up to three times within the budget.

        Args:
            request: a GET.
            budget: seconds for everything: waiting, retrying and reading the body.

        Raises:
            UpstreamError: the last failure, or :class:`RateLimited` at once while LlamaCloud asked for quiet.
        """
        ends = time.monotonic() + budget
        self._refuse_while_quiet()
        attempt = 1
        while True:
            try:
                return self._json(self.once(request, max(0.01, ends - time.monotonic())))
            except UpstreamError as failure:
                pause = self._pause_before_retry(failure, attempt)
                if pause is None or time.monotonic() + pause >= ends:
                    raise
            time.sleep(pause)
            attempt += 1

    def write(self, request: Request, budget: float) -> Any:
        """The JSON of a call that is made once and never repeated; ``None`` for 204.

        Raises:
            UpstreamError: see ``outcome`` for whether it may have been done.
        """
        answer = self.once(request, budget)
        return None if answer.status == 204 else self._json(answer)

    def once(self, request: Request, budget: float) -> Answer:
        """One attempt, its body read whole."""
        started = time.monotonic()
        status = 0
        try:
            with (
                Call(budget, safe=request.is_read) as call,
                call.on_this_thread(),
                self.opened(request, call, read_gap=budget) as response,
            ):
                status = response.status_code
                self._require_json_type(response)
                return Answer(status, self._body(response, call, self.max_bytes))
        except UpstreamError as failure:
            status = failure.upstream_status or 0
            raise
        finally:
            log_call(request, status, started)

    @contextlib.contextmanager
    def opened(self, request: Request, call: Call, *, read_gap: float) -> Iterator[requests.Response]:
        """A successful answer's head, with its body still to read.

        Args:
            request: what to ask for.
            call: the attempt; its time limit holds here too.
            read_gap: seconds of silence after which the answer counts as lost.

        Raises:
            UpstreamError: for everything but a success.
        """
        response = self._send(request, call, read_gap)
        try:
            if response.status_code >= 400:
                self._refuse(response, call, request)
            if not 200 <= response.status_code < 300:
                raise UnreadableAnswer(
                    f"LlamaCloud answered {response.status_code}", upstream_status=response.status_code
                )
            yield response
        finally:
            response.close()

    def _send(self, request: Request, call: Call, read_gap: float) -> requests.Response:
        url = self._base + request.template.format_map(request.values)
        query = {name: value for name, value in request.query.items() if value is not None}
        for _ in range(REDIRECT_HOPS + 1):
            response = self._send_once(request, url, query, call, read_gap)
            if not response.is_redirect:
                return response
            status, target = response.status_code, target_of(url, response.headers["location"])
            response.close()
            if not request.is_read:
                raise RedirectRefused(
                    f"LlamaCloud answered {status} to a {request.method}",
                    outcome="refused" if status in (307, 308) else "unknown",
                    upstream_status=status,
                )
            if origin(target) != origin(self._base):
                raise RedirectRefused(f"LlamaCloud answered {status} to another origin", upstream_status=status)
            url, query = target, {}
        raise RedirectRefused("LlamaCloud redirected too often", upstream_status=status)

    def _send_once(
        self, request: Request, url: str, query: Mapping[str, str | int], call: Call, read_gap: float
    ) -> requests.Response:
        try:
            # Not by the session: it would merge cookies, proxies and hooks that it does not have.
            prepared = requests.PreparedRequest()
            prepared.prepare(
                request.method,
                url,
                headers={**self._session.headers, "Accept": request.accept, "Accept-Encoding": request.encoding},
                params=dict(query),
                json=request.body,
                auth=self._session.auth,
            )
            # Straight to the adapter: even told not to follow, the session would read a redirect's body to its end
            # and prepare the next request.
            return self._session.get_adapter(url).send(
                prepared,
                stream=True,
                verify=True,
                proxies=dict(self.proxies),
                timeout=(call.left(CONNECT_SECONDS), call.left(read_gap)),
            )
        except _TRANSPORT_FAILURES as failure:
            # Not chained: what `requests` says holds the address, and its request object the key.
            raise lost(call, failure) from None

    def _refuse(self, response: requests.Response, call: Call, request: Request) -> None:
        try:
            body = self._body(response, call, ERROR_BODY_BYTES, cut_when_longer=True)
        except UpstreamError:
            body = b""
        error = error_for(response.status_code, response.headers, body, secrets=self._secrets)
        if isinstance(error, RateLimited) and request.is_read:
            self._be_quiet(retry_after(response.headers))
        raise error

    def _body(self, response: requests.Response, call: Call, limit: int, *, cut_when_longer: bool = False) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in chunks(response, call):
            parts.append(part)
            size += len(part)
            if size > limit:
                if cut_when_longer:
                    break
                raise UnreadableAnswer(
                    f"LlamaCloud answered {response.status_code} with more than {limit} bytes",
                    upstream_status=response.status_code,
                )
        return b"".join(parts)[: limit + 1]

    def _require_json_type(self, response: requests.Response) -> None:
        if response.status_code == 204:
            return
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        # An absent type is forgiven if the body turns out to be JSON; a declared other one is another document.
        if kind and not (kind == "application/json" or kind.endswith("+json")):
            said = describe(response.status_code, response.headers, b"", secrets=self._secrets)
            raise UnreadableAnswer(f"{said} with something other than JSON", upstream_status=response.status_code)

    def _json(self, answer: Answer) -> Any:
        try:
            return self.decoded(answer.body)
        except ValueError:
            raise UnreadableAnswer(
                f"LlamaCloud answered {answer.status} with {len(answer.body)} bytes that are not whole JSON",
                cut=True,
                upstream_status=answer.status,
            ) from None

    def _pause_before_retry(self, failure: UpstreamError, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, or ``None`` to give up."""
        passing = isinstance(failure, RateLimited | UpstreamFailed | Unreachable | AnswerLost)
        if attempt >= READ_ATTEMPTS or not (passing or (isinstance(failure, UnreadableAnswer) and failure.cut)):
            return None
        # Full jitter, so that many callers that failed together do not come back together.
        jitter = random.uniform(0, 0.2 * 2**attempt)  # noqa: S311 - no secret
        return jitter if failure.retry_after is None else failure.retry_after + jitter / 4

    def _be_quiet(self, seconds: float | None) -> None:
        if seconds:
            with self._quiet_lock:
                self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    def _refuse_while_quiet(self) -> None:
        left = self._quiet_until - time.monotonic()
        if left > 0:
            raise RateLimited("LlamaCloud asked Corral to wait", retry_after=int(left) + 1, upstream_status=429)


def chunks(response: requests.Response, call: Call) -> Iterator[bytes]:
    """The body as it arrives, decompressed.

    Raises:
        AnswerLost: silence, a cut, the call's time is up, or it was abandoned.
    """
    try:
        while part := response.raw.read1(_CHUNK, decode_content=True):
            yield part
    except _TRANSPORT_FAILURES as failure:
        raise lost(call, failure) from None
    if call.abandoned:
        # A body without a declared length ends normally when its socket is shut down.
        raise lost(call, None)


class Here(Enum):
    """What is left of a body after some of it was read."""

    NOTHING = auto()
    """More has to be waited for."""
    PERHAPS_MORE = auto()
    ITS_END = auto()


def come(call: Call, answer: ComingAnswer) -> tuple[bytes, Here]:
    """As much of a body as has come, some 64 kB at most, and what is left of it here.

    Raises:
        AnswerLost: a cut, or the call was abandoned.
    """
    parts: list[bytes] = []
    part, size = None, 0
    try:
        while size < _CHUNK and (part := answer.come()):
            parts.append(part)
            size += len(part)
    except _TRANSPORT_FAILURES as failure:
        # What came before a cut counts; the next call meets it again.
        if not parts:
            raise lost(call, failure) from None
    if not parts and part == b"" and call.abandoned:
        # A body without a declared length ends normally when its socket is shut down.
        raise lost(call, None)
    here = Here.NOTHING if part is None else Here.PERHAPS_MORE if parts else Here.ITS_END
    return b"".join(parts), here


def lost(call: Call, failure: Exception | None) -> UpstreamError:
    """What a transport failure means, without the words of `requests`, which hold the address."""
    if call.expired:
        what = "no whole answer in time"
    elif call.abandoned:
        what = "the call was ended from this side"
    else:
        what = type(failure).__name__
    return AnswerLost(what) if call.sent else Unreachable(what)


def log_call(request: Request, status: int, started: float) -> None:
    """One DEBUG line: method, path template, status (0 = none), milliseconds."""
    log.debug("%s %s -> %s in %d ms", request.method, request.template, status, (time.monotonic() - started) * 1000)
