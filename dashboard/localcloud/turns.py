"""Turns: a question is accepted, answered in a thread of its own, and watched as a stream (contract.md §7)."""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue

from dashboard.localcloud.http import Request, Response, conflict, to_json
from dashboard.localcloud.indexes import Indexes, canonical
from dashboard.localcloud.projects import check_tenant
from dashboard.localcloud.runs import Event, Run, RunError
from dashboard.localcloud.sessions import find
from dashboard.localcloud.store import Store, utc_now
from dashboard.upstream.contract import ChatParams

log = logging.getLogger(__name__)
STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
INTERRUPTED = "The server was stopped while it was answering"
_END = None


def frame(event: Event) -> bytes:
    """One event as server-sent bytes: exactly one ASCII ``data: `` line, no ``id:`` (contract.md §7, Framing)."""
    name = b"delta" if event["type"].endswith("_delta") else b"message"
    return b"event: " + name + b"\ndata: " + to_json(event) + b"\n\n"


class Turns:
    """Accepts questions and runs them to their end, whoever watches.

    Args:
        token_delay: seconds between two pieces of an answer.
        keep_alive: seconds of silence after which a comment is sent.
    """

    def __init__(self, store: Store, indexes: Indexes, *, token_delay: float, keep_alive: float) -> None:
        self._store = store
        self._indexes = indexes
        self._token_delay = token_delay
        self._keep_alive = keep_alive
        self._closing = threading.Event()
        self._threads: set[threading.Thread] = set()

    def recover(self) -> None:
        """Close the turns a killed process left open, or their sessions would be running for ever."""
        usage = {"total_input_tokens": None, "total_output_tokens": None, "turns": 1, "duration_ms": 0.0}
        failure = {"is_error": True, "error": INTERRUPTED}
        stop = {"type": "stop", "usage": usage, **failure, "skipped_index_ids": []}
        job = {**usage, **failure, "export_config_ids": None}
        with self._store.write() as db:
            rows = db.execute(
                "UPDATE sessions SET running = NULL, job_metadata = ?, last_updated_at = ? WHERE running IS NOT NULL"
                " RETURNING session_id",
                (json.dumps(job), utc_now()),
            ).fetchall()
            add = "INSERT INTO events (session_id, event) VALUES (?, ?)"
            db.executemany(add, [(row["session_id"], json.dumps(stop)) for row in rows])

    def stream(self, request: Request, session_id: str) -> Response:
        """Accept a question and answer with the stream of its events.

        Raises:
            HttpError: 404 no such session; 409 a different set than the bound one, or a turn is running; 422 the body.
        """
        check_tenant(request)
        body = request.body(ChatParams)
        opening: Event = {"type": "user_input", "content": body.prompt}
        nonce = secrets.token_hex(8)
        with self._store.write() as db:
            row = find(db, session_id)
            _check_set(row, body.index_ids)
            if row["running"]:
                raise conflict("A turn is already running in this session")
            db.execute(
                "UPDATE sessions SET running = ?, last_updated_at = ?,"
                " generated_title = coalesce(generated_title, ?) WHERE session_id = ?",
                (nonce, utc_now(), f"{body.prompt}...", session_id),
            )
            add = "INSERT INTO events (session_id, event) VALUES (?, ?)"
            db.execute(add, (session_id, json.dumps(opening)))
        live: SimpleQueue[Event | None] = SimpleQueue()
        live.put(opening)
        run = Run(self._store, self._indexes, session_id, nonce, body, live.put)
        thread = threading.Thread(target=self._run, args=(run, live), name=f"turn {session_id}", daemon=True)
        self._threads.add(thread)
        thread.start()
        return Response(stream=self._follow(live), headers=STREAM_HEADERS)

    def close(self) -> None:
        """Interrupt running turns; each still ends with a stored ``stop``."""
        self._closing.set()
        for thread in list(self._threads):
            thread.join(10)

    def _run(self, run: Run, live: SimpleQueue[Event | None]) -> None:
        try:
            run.answer(self._pause)
        except RunError as end:
            run.finish(str(end))
        except Exception:
            log.exception("the turn in %s failed", run.session_id)
            run.finish("Internal error")
        finally:
            live.put(_END)
            self._threads.discard(threading.current_thread())

    def _pause(self) -> None:
        if self._closing.wait(self._token_delay):
            raise RunError(INTERRUPTED)

    def _follow(self, live: SimpleQueue[Event | None]) -> Iterator[bytes]:
        while True:
            try:
                event = live.get(timeout=self._keep_alive)
            except Empty:
                yield b": ping\n\n"
                continue
            if event is _END:
                return
            yield frame(event)


def _check_set(row: sqlite3.Row, given: Sequence[str]) -> None:
    """A bound session is asked with exactly its set, in any order, by either id (contract.md §6)."""
    bound = json.loads(row["index_ids"] or "null")
    if bound is not None and set(map(canonical, bound)) != set(map(canonical, given)):
        raise conflict("This session is bound to other indexes; its set of indexes cannot change")
