"""One run: from an accepted question to the stored ``stop`` (contract.md §7)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from dashboard.localcloud.answers import compose, count_tokens, overview, tool_result
from dashboard.localcloud.indexes import Indexes
from dashboard.localcloud.search import Hit, documents_in, search
from dashboard.localcloud.store import Store, utc_now
from dashboard.upstream.contract import ChatParams

Event = dict[str, Any]
TOOL = "retrieve"
PASSAGES_PER_INDEX = 5
_PIECE = re.compile(r"\S+\s*|\s+")


class RunError(Exception):
    """The run cannot go on; the text becomes the error of its ``stop``."""


class Run:
    """Answers one question.

    Every complete event is stored before it is handed on, so whoever has seen it finds it in the history.

    Args:
        nonce: marks the session as running this run and no other.
        params: the question and its indexes.
        emit: takes each event, in order.
    """

    def __init__(
        self,
        store: Store,
        indexes: Indexes,
        session_id: str,
        nonce: str,
        params: ChatParams,
        emit: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._indexes = indexes
        self.session_id = session_id
        self._nonce = nonce
        self._params = params
        self._emit = emit
        self._started = time.monotonic()
        self._input = count_tokens(params.prompt)
        self._output = 0
        self._skipped: list[str] = []
        self._exports: list[str] = []

    def answer(self, pause: Callable[[], None]) -> None:
        """Search, quote and stop.

        Args:
            pause: called before each piece of the answer; may raise :class:`RunError`.

        Raises:
            RunError: no index can be searched, or not all that are required, or the session is gone.
        """
        sources = self._sources()
        hits = [hit for number, row in enumerate(sources, start=1) for hit in self._retrieve(f"call_{number}", row)]
        text = compose(hits) if hits else overview(documents_in(self._store, [row["id"] for row in sources]))
        for piece in _PIECE.findall(text):
            pause()
            self._emit({"type": "text_delta", "content": piece})
            self._output += count_tokens(piece)
        self._output = count_tokens(text)
        self._tell({"type": "text", "content": text})
        self.finish(None)

    def finish(self, error: str | None) -> None:
        """Store the ``stop`` and the session's job metadata in one transaction, then send it."""
        usage = {
            "total_input_tokens": self._input,
            "total_output_tokens": self._output,
            "turns": 1,
            "duration_ms": round((time.monotonic() - self._started) * 1000, 3),
        }
        failure = {"is_error": error is not None, "error": error}
        stop = {"type": "stop", "usage": usage, **failure, "skipped_index_ids": self._skipped}
        job = {**usage, **failure, "export_config_ids": self._exports}
        with self._store.write() as db:
            ended = db.execute(
                "UPDATE sessions SET running = NULL, job_metadata = ?, last_updated_at = ?"
                " WHERE session_id = ? AND running = ?",
                (json.dumps(job), utc_now(), self.session_id, self._nonce),
            )
            if ended.rowcount:
                add = "INSERT INTO events (session_id, event) VALUES (?, ?)"
                db.execute(add, (self.session_id, json.dumps(stop)))
        self._emit(stop)

    def _sources(self) -> list[dict[str, Any]]:
        sources, self._skipped = self._indexes.searchable(self._params.index_ids)
        self._exports = [source["export_config_id"] for source in sources]
        if self._skipped and self._params.require_all_indexes:
            raise RunError("Not all of the requested indexes can be searched, and all were required")
        if not sources:
            raise RunError("None of the requested indexes can be searched")
        return sources

    def _retrieve(self, call_id: str, source: dict[str, Any]) -> list[Hit]:
        arguments = {"index_id": source["export_config_id"], "query": self._params.prompt}
        self._tell({"type": "tool_call", "call_id": call_id, "name": TOOL, "arguments": arguments})
        hits = search(self._store, source["id"], self._params.prompt, PASSAGES_PER_INDEX)
        result, image = tool_result(hits)
        self._input += sum(count_tokens(hit.text) for hit in hits)
        event = {"type": "tool_result", "call_id": call_id, "name": TOOL, "result": result, "image_attachment": image}
        self._tell(event)
        return hits

    def _tell(self, event: Event) -> None:
        with self._store.write() as db:
            stored = db.execute(
                "INSERT INTO events (session_id, event) SELECT session_id, ? FROM sessions"
                " WHERE session_id = ? AND running = ?",
                (json.dumps(event), self.session_id, self._nonce),
            )
        if not stored.rowcount:
            raise RunError("The session was deleted")
        self._emit(event)
