"""Stands for LlamaCloud and answers at once, so that what is measured is the server in front of it.

``python benchmarks/stub.py PORT``. One thread, one event loop, no framework: it must never be the slowest part.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from datetime import UTC, datetime

_numbers = itertools.count(1)


class Answers(asyncio.Protocol):
    """HTTP/1.1 with kept-open connections, as far as two kinds of call need it."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while request := self._next():
            self._transport.write(_answer(*request))

    def _next(self) -> tuple[bytes, bytes] | None:
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return head, rest[:length]


def _answer(head: bytes, body: bytes) -> bytes:
    """A new session's summary for a POST, an empty list for anything else."""
    if head.startswith(b"POST /api/v1/chat"):
        asked = json.loads(body)
        return _json(
            201,
            {
                "session_id": f"ses-{next(_numbers):024x}",
                "last_updated_at": datetime.now(UTC).isoformat(),
                "shared_access": asked.get("shared_access") or "read_only",
                "generated_title": None,
                "index_ids": asked.get("index_ids"),
                "job_metadata": None,
            },
        )
    return _json(200, {"items": [], "next_page_token": None})


def _json(status: int, value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(port: int) -> None:
    """Answer until told to stop."""
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
