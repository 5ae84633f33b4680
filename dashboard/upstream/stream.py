"""One turn of a session as it happens (contract.md §7)."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from enum import Enum, auto
from http.client import HTTPException
from itertools import groupby
from types import TracebackType
from typing import Any, Self

import requests
from urllib3.response import GzipDecoder
from urllib3.util.wait import wait_for_read

from dashboard.upstream.coming import ComingAnswer
from dashboard.upstream.connections import Call
from dashboard.upstream.contract import (
    DELTA_TYPES,
    Delta,
    Event,
    Stop,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    UnknownEvent,
    read_event,
)
from dashboard.upstream.endpoint import Request
from dashboard.upstream.errors import AnswerLost, UnreadableAnswer, UpstreamError
from dashboard.upstream.failures import clean_event, told
from dashboard.upstream.sse import ServerEvent, SseDecoder
from dashboard.upstream.transport import Here, Transport, come, log_call, lost

HEAD_SECONDS = 120.0
"""Seconds until the answer's head is whole: LlamaCloud may think for some time before it answers."""
GAP_SECONDS = 60.0
"""Silence after which the answer counts as lost (contract.md §1)."""
NO_EVENT_SECONDS = 600.0
"""Seconds after which an answer that only keeps its connection open counts as lost."""
TURN_SECONDS = 2 * 60 * 60.0
"""Seconds after which an answer counts as lost however much of it comes."""
STREAM_BYTES = 64 * 1024 * 1024
"""Bytes of one whole turn: an answer of 2 MB, token by token, with its steps."""

UNPACKED_BYTES = 64 * 1024
"""Bytes unpacked at a time."""


class Sign(Enum):
    """What stands between the events of a stream that is read as it comes."""

    WAIT = auto()
    """All that came has been read; more has to be waited for."""
    GO_ON = auto()
    """Some of it has been read, and there may be more here already."""


_DELTA_NAMES = tuple(DELTA_TYPES)
"""To look in: whatever a type is, a list or an object too, it can be compared with these."""
_COMPLETED_BY: dict[type[Event], tuple[type[Delta], ...]] = {
    Text: (TextDelta,),
    Thinking: (ThinkingDelta,),
    Stop: tuple(DELTA_TYPES.values()),
}
_IGNORED = frozenset({"[DONE]"})


class TurnStream:
    """The events of one turn; made by :meth:`LlamaCloud.stream`. Nothing is sent before ``with``.

    ::

        turn = client.stream(session_id, ChatParams(index_ids=[...], prompt="..."))
        with turn as events:
            for event in events:
                ...

    ``with`` raises the error tree when LlamaCloud refuses before the answer begins. Iterating waits for events; whoever
    waits for other things too reads :attr:`events` when :meth:`fileno` is readable. Either ends after the ``stop``
    event, and nothing after it counts. An answer that ends any other way raises :class:`AnswerLost` (or
    :class:`UnreadableAnswer`) after the events that did arrive: the turn may still have been answered, so read the
    session back.

    Attributes:
        complete: the ``stop`` event has arrived.
        events: the events as they come, and a :class:`Sign` each time more of them has to be waited for, or some 64 kB
            have been read. It never waits, but must be asked now and then also when nothing came, or silence is not
            noticed.
    """

    def __init__(self, transport: Transport, request: Request, *, read_gap: float) -> None:
        self.complete = False
        self.events = self._readable()
        self._transport = transport
        self._request = request
        self._read_gap = read_gap
        self._call = Call(HEAD_SECONDS, safe=False, streams=True)
        self._open = ExitStack()
        self._response: requests.Response | None = None
        self._packed: GzipDecoder | None = None

    def __repr__(self) -> str:
        return "<TurnStream>"

    def __enter__(self) -> Self:
        """Send the question and wait for the head of the answer."""
        started, status = time.monotonic(), 0
        self._open.enter_context(self._call)
        try:
            with self._call.on_this_thread():
                opened = self._transport.opened(self._request, self._call, read_gap=self._read_gap)
                self._response = response = self._open.enter_context(opened)
            status = response.status_code
            self._call.lift_limit()
            if self._call.abandoned:
                # A head that was cut between two of its lines looks whole.
                raise lost(self._call, None)
            self._require_events(response)
            if self._call.coming is not None:
                self._call.coming.do_not_wait()
        except BaseException:
            self._open.close()
            raise
        finally:
            log_call(self._request, status, started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        answer, response = self._call.coming, self._response
        if response is not None and answer is not None and self.complete and _is_at_its_end(answer):
            self._call.uses(None)
            response.raw.release_conn()
        self._open.close()

    def close(self) -> None:
        """Stop reading at once, from any thread, also while still waiting for the head.

        Whoever iterates gets :class:`AnswerLost`. LlamaCloud may go on with the turn: it has no call to cancel one.
        """
        self._call.abandon()

    def fileno(self) -> int:
        """What becomes readable when more has come."""
        return self._begun().fileno()

    def __iter__(self) -> Iterator[Event]:
        """The events, waited for."""
        for event in self.events:
            if not isinstance(event, Sign):
                yield event
            elif event is Sign.WAIT:
                wait_for_read(self._begun(), self._read_gap)  # type: ignore[arg-type]  # a file number is all it takes

    def _begun(self) -> ComingAnswer:
        if self._call.coming is None:
            raise RuntimeError("A turn is read inside its with block.")
        return self._call.coming

    def _readable(self) -> Iterator[Event | Sign]:
        """The events. Of a growing text, what may be the beginning of a key waits until it goes on or is complete."""
        waiting: dict[type[Delta], Delta] = {}
        try:
            for event in self._events():
                if isinstance(event, Sign):
                    yield event
                    continue
                if isinstance(event, Delta):
                    shown, waits = self._without_key(waiting.pop(type(event), None), event)
                    if waits is not None:
                        waiting[type(event)] = waits
                    if shown is not None:
                        yield shown
                else:
                    # Whatever else comes in between, the text may go on after it.
                    for kind in _COMPLETED_BY.get(type(event), ()):
                        if kind in waiting:
                            yield waiting.pop(kind)
                    yield event
        except UpstreamError:
            yield from waiting.values()
            raise
        yield from waiting.values()

    def _without_key(self, waited: Delta | None, delta: Delta) -> tuple[Delta | None, Delta | None]:
        """What can be read of a delta after the one that waited, and what has to wait now."""
        shown, waits = self._transport.split_at_key((waited.content if waited else "") + delta.content)
        if shown == delta.content and not waits:
            return delta, None
        parts = [type(delta)(content=part) if part else None for part in (shown, waits)]
        return parts[0], parts[1]

    def _events(self) -> Iterator[Event | Sign]:
        decoder, failed = SseDecoder(), ""
        begun_at = heard_at = time.monotonic()
        for part in self._parts():
            if isinstance(part, Sign):
                now = time.monotonic()
                if now > heard_at + NO_EVENT_SECONDS:
                    raise AnswerLost("nothing that says anything came for too long")
                if now > begun_at + TURN_SECONDS:
                    raise AnswerLost("the answer went on for too long")
                yield part
                continue
            for event in self._read(decoder.feed(part)):
                heard_at = time.monotonic()
                yield event
                if self.complete:
                    return
                failed = _failure(event) or failed
            yield Sign.GO_ON
        for event in self._read(decoder.flush(), must_be_whole=True):
            yield event
            failed = _failure(event) or failed
        if self.complete:
            return
        if not failed:
            raise AnswerLost("the answer ended without its stop event")
        # LlamaCloud said that it failed, then ended in good order: that is an end, told in the contract's own terms.
        self.complete = True
        yield Stop.model_validate({"type": "stop", "is_error": True, "error": self._transport.clean(failed)})

    def _parts(self) -> Iterator[bytes | Sign]:
        """The body as it comes, unpacked."""
        size, begun, heard_at = 0, False, time.monotonic()
        here = Here.PERHAPS_MORE
        while here is not Here.ITS_END:
            came, here = come(self._call, self._begun())
            now = time.monotonic()
            heard_at = now if came else heard_at
            for part in self._unpacked(came) if came else ():
                size += len(part)
                if size > STREAM_BYTES:
                    raise UnreadableAnswer(f"LlamaCloud sent more than {STREAM_BYTES} bytes in one turn")
                if not begun:
                    begun = _begins_like_events(part)
                yield part
            if here is Here.NOTHING:
                if now >= heard_at + self._read_gap:
                    raise lost(self._call, TimeoutError())
                yield Sign.WAIT

    def _unpacked(self, came: bytes) -> Iterator[bytes]:
        """The same unpacked, a little at a time: a few bytes can stand for very many."""
        if self._packed is None:
            yield came
            return
        try:
            yield self._packed.decompress(came, max_length=UNPACKED_BYTES)
            while self._packed.has_unconsumed_tail:
                yield self._packed.decompress(b"", max_length=UNPACKED_BYTES)
        except zlib.error:
            raise UnreadableAnswer("LlamaCloud's answer cannot be unpacked", upstream_status=200) from None

    def _require_events(self, response: requests.Response) -> None:
        # Whatever else is declared may still be a stream (contract.md §14.6); its first byte decides.
        if "html" in response.headers.get("content-type", "").lower():
            raise UnreadableAnswer("LlamaCloud answered 200 with a web page instead of a stream", upstream_status=200)
        packing = response.headers.get("content-encoding", "identity").lower()
        if packing in ("gzip", "x-gzip"):
            # Something on the way packs what was asked for unpacked.
            self._packed = GzipDecoder()
        elif packing != "identity":
            raise UnreadableAnswer("LlamaCloud's answer is packed in a way that was not asked for", upstream_status=200)

    def _read(self, sent: list[ServerEvent], *, must_be_whole: bool = False) -> Iterator[Event]:
        """The events of the union; deltas of one kind that came together are one, as if they had been sent so.

        Deltas by which nothing grows are no events: whoever sends nothing else only keeps the connection open.
        """
        values = [self._decoded(one, must_be_whole=must_be_whole) for one in sent]
        for kind, group in groupby([value for value in values if value is not None], _kind_of_delta):
            if kind is not None:
                if grown := "".join([value["content"] for value in group]):
                    yield kind(content=grown)
                continue
            for value in group:
                event = read_event(value)
                self.complete = self.complete or isinstance(event, Stop)
                yield event

    def _decoded(self, sent: ServerEvent, *, must_be_whole: bool) -> dict[str, Any] | None:
        """What an event says; ``None`` when there is nothing to keep."""
        try:
            value: Any = self._transport.decoded(sent.data)
        except ValueError:
            if must_be_whole or sent.data.strip() in _IGNORED:
                return None
            value = self._transport.without_key(sent.data)
        if not isinstance(value, dict):
            value = {"event": self._transport.without_key(sent.event), "data": value}
        if sent.event == "error" and "type" not in value:
            value = {"type": "error"} | value
        said: dict[str, Any] = clean_event(value, self._transport.clean, name=sent.event)
        return said


def _is_at_its_end(answer: ComingAnswer) -> bool:
    """Whether the connection can serve another call."""
    try:
        return answer.come() == b"" and not answer.will_close
    except (HTTPException, OSError):
        return False


def _begins_like_events(part: bytes) -> bool:
    """Whether the first byte that is not blank has been seen; a page or a document in place of a stream is refused.

    Raises:
        UnreadableAnswer: it is HTML or bare JSON.
    """
    begins = part.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begins[:1] in (b"<", b"{", b"["):
        raise UnreadableAnswer("LlamaCloud answered with a document instead of a stream", upstream_status=200)
    return bool(begins)


def _kind_of_delta(value: dict[str, Any]) -> type[Delta] | None:
    """The kind of an event that says nothing but by how much a text has grown."""
    kind = value.get("type")
    return DELTA_TYPES[kind] if kind in _DELTA_NAMES and isinstance(value.get("content"), str) else None


def _failure(event: Event) -> str:
    """What an error event says; the contract documents none, but one may come (contract.md §7, §14.6)."""
    if not isinstance(event, UnknownEvent) or event.type != "error":
        return ""
    said = {name: value for name, value in event.raw.items() if name not in ("type", "event")}
    return told(said.get("data", said)) or "LlamaCloud reported an error without saying which."
