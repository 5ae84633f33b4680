"""Asks and watches like so many browsers, in a process of its own so that its work counts for nobody.

``python benchmarks/load.py`` reads a plan as JSON from its input and prints what it saw as JSON. The plan is a list of
readers: ``at`` (seconds after the start), ``steps`` (each the port asked and the request, sent when the answer before
it is complete; a step to the same port uses the same connection), ``end`` (the words that end the last answer). What
was seen, in seconds by the machine's clock: when each reader began, saw a first token and the end, and for every
arrival how long the newest token in it had been under way; ``resumed`` counts answers that ended before the end, after
which a browser comes back at once. ``cpu`` is the seconds this process took.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any

PATIENCE = 60.0
TOKEN = re.compile(rb",(\d{5,})[ *<]")
KEPT = 64
"""Bytes kept of what came before: a token, or the end, may be cut."""


class Reader(asyncio.Protocol):
    """One browser."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.steps = [(step["port"], step["request"].encode()) for step in plan["steps"]]
        self.end = plan["end"].encode()
        self.began = self.first = self.first_sent = self.finished = self.last_sent = 0.0
        self.under_way: list[float] = []
        self.problem = ""
        self.resumed = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = b""
        self._port = 0
        self._now: tuple[int, bytes] = (0, b"")

    async def run(self) -> None:
        """Go through the steps."""
        self.began = time.monotonic()
        await self._step()
        try:
            await asyncio.wait_for(self.done, PATIENCE)
        except TimeoutError:
            self.problem = f"not finished after {PATIENCE:g} s: {self._received[-200:]!r}"
        self._transport.close()

    async def _step(self) -> None:
        await self._send(*self.steps.pop(0))

    async def _send(self, port: int, request: bytes) -> None:
        self._now = port, request
        self._received = b""
        if port != self._port:
            self._port = port
            transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
            self._transport = transport
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._received = self._received + data
        if self.steps:
            self._next()
        elif not self.done.done():
            self._watch(now, data)

    def _next(self) -> None:
        """The answer before the last: once complete, go on."""
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not found or not length or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._fail(head)
            return
        self._going_on = asyncio.ensure_future(self._step())

    def _watch(self, now: float, data: bytes) -> None:
        if not self._received.startswith(b"HTTP/1.1 200") and self._received[:9] == b"HTTP/1.1 ":
            self._fail(self._received)
            return
        tokens = TOKEN.findall(self._received)
        if tokens:
            if not self.first:
                self.first, self.first_sent = now, int(tokens[0]) / 10_000
            sent = int(tokens[-1]) / 10_000
            if sent > self.last_sent:
                self.last_sent = sent
                self.under_way.append(now - sent)
        if self.end in self._received:
            self.finished = now
            self.done.set_result(None)
        elif self._received.endswith(b"\r\n0\r\n\r\n"):
            self.resumed += 1
            self._going_on = asyncio.ensure_future(self._send(*self._now))
        self._received = b"-" + self._received[-KEPT:]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._fail(b"the connection was closed")

    def _fail(self, why: bytes) -> None:
        self.problem = why[:300].decode(errors="replace")
        if not self.done.done():
            self.done.set_result(None)

    def seen(self) -> dict[str, Any]:
        """What is told of it."""
        names = ("began", "first", "first_sent", "finished", "last_sent", "under_way", "resumed", "problem")
        return {name: getattr(self, name) for name in names}


async def main() -> None:
    """Everybody in one loop."""
    plans = json.load(sys.stdin)
    start = time.monotonic() + 0.2
    readers = [Reader(plan) for plan in plans]

    async def at(reader: Reader, seconds: float) -> None:
        await asyncio.sleep(start + seconds - time.monotonic())
        await reader.run()

    before = time.process_time()
    await asyncio.gather(*(at(reader, plan["at"]) for reader, plan in zip(readers, plans, strict=True)))
    seen = [reader.seen() for reader in readers]
    print(json.dumps({"readers": seen, "cpu": time.process_time() - before}))


if __name__ == "__main__":
    asyncio.run(main())
