"""Stands for LlamaCloud: answers at once, and questions at the pace of a model, a token every 20 ms.

What is measured is the server in front of it. Every token is the time it was sent, so that whoever sees it knows how
long it was under way (see ``token``). A question may ask for "500 tokens", or for the first of them
"after 300 ms".

``python benchmarks/stub.py PORT``. One thread, one event loop, no framework: it must never be the slowest part.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from datetime import UTC, datetime

TOKENS = 100
TOKEN_SECONDS = 0.02
TOKENS_A_PARAGRAPH = 25
TOKENS_A_BOLD_WORD = 10

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
            if b"/messages/stream" in request[0].partition(b"\r\n")[0]:
                Stream(self._transport, json.loads(request[1])["prompt"])
            else:
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


def token() -> str:
    """The time in tenths of a millisecond by the machine's one clock, as a word that is its own Markdown."""
    return f",{int(time.monotonic() * 10_000)} "


class Stream:
    """One answer in the contract's order: the question, the tokens, all of it again as one block, the end."""

    def __init__(self, transport: asyncio.Transport, prompt: str) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._next_at = self._loop.time()
        self._sent: list[str] = []
        self._tokens = _asked_for(r"(\d+) tokens", prompt, TOKENS)
        transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
            + _event("message", {"type": "user_input", "content": prompt})
        )
        self._next_at += _asked_for(r"after (\d+) ms", prompt, 0) / 1000
        self._loop.call_at(self._next_at, self._step)

    def _step(self) -> None:
        if self._transport.is_closing():
            return
        word = token()
        if len(self._sent) % TOKENS_A_BOLD_WORD == 0:
            word = f"**{word.strip()}** "
        if len(self._sent) % TOKENS_A_PARAGRAPH == TOKENS_A_PARAGRAPH - 1:
            word += "\n\n"
        self._sent.append(word)
        self._transport.write(_event("delta", {"type": "text_delta", "content": word}))
        if len(self._sent) < self._tokens:
            # By the clock, not by the last step: a busy machine must not stretch the answer.
            self._next_at += TOKEN_SECONDS
            self._loop.call_at(self._next_at, self._step)
        else:
            self._end()

    def _end(self) -> None:
        usage = {"total_input_tokens": 1843, "total_output_tokens": TOKENS, "turns": 1, "duration_ms": 2000.0}
        stop = {"type": "stop", "usage": usage, "is_error": False, "error": None, "skipped_index_ids": []}
        text = _event("message", {"type": "text", "content": "".join(self._sent)})
        self._transport.write(text + _event("message", stop) + b"0\r\n\r\n")


def _asked_for(pattern: str, prompt: str, otherwise: int) -> int:
    found = re.search(pattern, prompt)
    return int(found[1]) if found else otherwise


def _event(name: str, value: dict[str, object]) -> bytes:
    data = f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


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
