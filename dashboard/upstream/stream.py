"""One turn of a session as it happens (contract.md §7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import requests

from dashboard.upstream.connections import Call
from dashboard.upstream.contract import Event, Stop, TextDelta, ThinkingDelta, UnknownEvent, read_event
from dashboard.upstream.endpoint import Request
from dashboard.upstream.errors import AnswerLost, UnreadableAnswer, UpstreamError
from dashboard.upstream.failures import told
from dashboard.upstream.sse import ServerEvent, SseDecoder
from dashboard.upstream.transport import Transport, chunks, log_call

GAP_SECONDS = 60.0
"""Silence after which the answer counts as lost (contract.md §1)."""
STREAM_BYTES = 256 * 1024 * 1024
"""Bytes of one whole turn."""

Delta = TextDelta | ThinkingDelta
_IGNORED = frozenset({"[DONE]"})


class TurnStream:
    """The events of one turn; made by :meth:`LlamaCloud.stream`. Nothing is sent before ``with``.

    ::

        turn = client.stream(session_id, ChatParams(index_ids=[...], prompt="..."))
        with turn as events:
            for event in events:
                ...

    One thread enters, reads and leaves. ``with`` raises the error tree when LlamaCloud refuses before the answer
    begins. Iterating ends after the ``stop`` event, and nothing after it counts. An answer that ends any other way
    raises :class:`AnswerLost` (or :class:`UnreadableAnswer`) from the loop, after the events that did arrive: the turn
    may still have been answered, so read the session back.

    Attributes:
        complete: the ``stop`` event has arrived.
    """

    def __init__(
        self,
        transport: Transport,
        request: Request,
        *,
        read_gap: float,
        before_waiting: Callable[[], None] | None = None,
    ) -> None:
        self.complete = False
        self._transport = transport
        self._request = request
        self._read_gap = read_gap
        self._call = Call(None, safe=False, before_waiting=before_waiting)
        self._open = ExitStack()
        self._response: requests.Response | None = None

    def __repr__(self) -> str:
        return "<TurnStream>"

    def __enter__(self) -> Self:
        """Send the question and wait for the head of the answer."""
        started, status = time.monotonic(), 0
        self._open.enter_context(self._call)
        self._open.enter_context(self._call.on_this_thread())
        try:
            opened = self._transport.opened(self._request, self._call, read_gap=self._read_gap)
            self._response = self._open.enter_context(opened)
            status = self._response.status_code
            self._require_events(self._response)
        except BaseException:
            self._open.close()
            raise
        finally:
            log_call(self._request, status, started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def close(self) -> None:
        """Stop reading at once, from any thread, also while still waiting for the head.

        Whoever iterates gets :class:`AnswerLost`. LlamaCloud may go on with the turn: it has no call to cancel one.
        """
        self._call.abandon()

    def __iter__(self) -> Iterator[Event]:
        """The events. Of a growing text, what may be the beginning of a key waits for the next of its kind."""
        waits: Delta | None = None
        try:
            for event in self._events():
                if waits is not None and type(event) is not type(waits):
                    yield waits
                    waits = None
                if isinstance(event, Delta):
                    shown, waits = self._without_key(waits, event)
                    if shown is not None:
                        yield shown
                else:
                    yield event
        except UpstreamError:
            if waits is not None:
                yield waits
            raise
        if waits is not None:
            yield waits

    def _without_key(self, waited: Delta | None, delta: Delta) -> tuple[Delta | None, Delta | None]:
        """What can be read of a delta after the one that waited, and what has to wait now."""
        text = self._transport.without_key((waited.content if waited else "") + delta.content)
        end = len(text) - self._transport.begins_key(text)
        if end == len(delta.content) and text == delta.content:
            return delta, None
        parts = [type(delta)(content=part) if part else None for part in (text[:end], text[end:])]
        return parts[0], parts[1]

    def _events(self) -> Iterator[Event]:
        if self._response is None:
            raise RuntimeError("A turn is read inside its with block.")
        decoder, failed = SseDecoder(), ""
        for part in self._parts(self._response):
            for sent in decoder.feed(part):
                event = self._read(sent)
                if event is None:
                    continue
                yield event
                if self.complete:
                    return
                failed = _failure(event) or failed
        for sent in decoder.flush():
            event = self._read(sent, must_be_whole=True)
            if event is not None:
                yield event
                failed = _failure(event) or failed
        if self.complete:
            return
        if not failed:
            raise AnswerLost("the answer ended without its stop event")
        # LlamaCloud said that it failed, then ended in good order: that is an end, told in the contract's own terms.
        self.complete = True
        yield Stop.model_validate({"type": "stop", "is_error": True, "error": self._transport.clean(failed)})

    def _parts(self, response: requests.Response) -> Iterator[bytes]:
        size, begun = 0, False
        for part in chunks(response, self._call):
            size += len(part)
            if size > STREAM_BYTES:
                raise UnreadableAnswer(f"LlamaCloud sent more than {STREAM_BYTES} bytes in one turn")
            if not begun:
                begun = _begins_like_events(part)
            yield part

    def _require_events(self, response: requests.Response) -> None:
        # Whatever else is declared may still be a stream (contract.md §14.6); its first byte decides.
        if "html" in response.headers.get("content-type", "").lower():
            raise UnreadableAnswer("LlamaCloud answered 200 with a web page instead of a stream", upstream_status=200)

    def _read(self, sent: ServerEvent, *, must_be_whole: bool = False) -> Event | None:
        """The event of the union, or ``None`` when there is nothing to keep."""
        try:
            value: Any = self._transport.decoded(sent.data.encode())
        except ValueError:
            value = self._transport.without_key(sent.data)
            if must_be_whole or value.strip() in _IGNORED:
                return None
        if not isinstance(value, dict):
            value = {"event": self._transport.without_key(sent.event), "data": value}
        if sent.event == "error" and "type" not in value:
            value = {"type": "error"} | value
        event = read_event(value)
        self.complete = self.complete or isinstance(event, Stop)
        return event


def _begins_like_events(part: bytes) -> bool:
    """Whether the first byte that is not blank has been seen; a page or a document in place of a stream is refused.

    Raises:
        UnreadableAnswer: it is HTML or bare JSON.
    """
    begins = part.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begins[:1] in (b"<", b"{", b"["):
        raise UnreadableAnswer("LlamaCloud answered with a document instead of a stream", upstream_status=200)
    return bool(begins)


def _failure(event: Event) -> str:
    """What an error event says; the contract documents none, but one may come (contract.md §7, §14.6)."""
    if not (isinstance(event, UnknownEvent) and event.type == "error"):
        return ""
    said = {name: value for name, value in event.raw.items() if name not in ("type", "event")}
    return told(said.get("data", said)) or "LlamaCloud reported an error without saying which."
