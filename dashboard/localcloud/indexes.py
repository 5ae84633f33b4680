"""Indexes: one per sub-folder; list, get, sync, cancel (contract.md §5)."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboard.localcloud.documents import describe
from dashboard.localcloud.http import Request, Response, conflict, invalid, not_found
from dashboard.localcloud.ingest import ingest
from dashboard.localcloud.paging import Pager
from dashboard.localcloud.projects import PROJECT, check_tenant
from dashboard.localcloud.store import Store, utc_now

log = logging.getLogger(__name__)


def _id(prefix: str, folder: str) -> str:
    """Ids follow from the folder's name, so they survive a fresh database."""
    return f"{prefix}-{hashlib.sha256(folder.encode()).hexdigest()[:16]}"


def canonical(given: str) -> str:
    """An index's ``id`` from either of its two ids (contract.md §5); anything else stays as it is."""
    return f"idx-{given[4:]}" if given.startswith("exc-") else given


class Indexes:
    """The indexes over the sub-folders of one folder.

    Args:
        docs: the folder; each of its sub-folders is an index named like it.
        sync_delay: seconds a requested sync waits before it works, so that it can be watched.
    """

    def __init__(self, store: Store, pager: Pager, docs: Path, sync_delay: float) -> None:
        self._store = store
        self._pager = pager
        self._docs = docs
        self._delay = sync_delay
        self._runs: dict[str, tuple[threading.Thread, threading.Event]] = {}
        self._guard = threading.Lock()

    def discover(self, wait: float) -> None:
        """Take in new sub-folders, forget vanished ones, and index everything in the background.

        Args:
            wait: seconds to wait for that indexing, so that small folders are ready when the first request comes.
        """
        folders = sorted(p.name for p in self._docs.iterdir() if p.is_dir() and p.name[0] not in "._")
        with self._store.write() as db:
            db.execute("UPDATE indexes SET syncing = 0")
            gone = db.execute(
                "DELETE FROM indexes WHERE folder NOT IN (SELECT value FROM json_each(?)) RETURNING folder",
                (json.dumps(folders),),
            ).fetchall()
            new = "INSERT INTO indexes (id, folder, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            db.executemany(new, [(_id("idx", name), name, utc_now() + "Z") for name in folders])
            rows = db.execute("SELECT id FROM indexes ORDER BY folder").fetchall()
        for row in gone:
            log.info("index %r is gone with its folder", row["folder"])
        threads = [self.start(row["id"], 0) for row in rows]
        for thread in filter(None, threads):
            thread.join(wait / len(threads))

    def resolve(self, given: str) -> sqlite3.Row:
        """The row of an index, by ``id`` or ``export_config_id`` (contract.md §5); 404 when unknown."""
        with self._store.read() as db:
            row: sqlite3.Row | None = db.execute("SELECT * FROM indexes WHERE id = ?", (canonical(given),)).fetchone()
        if row is None:
            raise not_found("Index")
        return row

    def searchable(self, given: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """Sort requested indexes, each once, into those that can be searched and the ids of those that cannot."""
        wanted = {canonical(one): one for one in given}
        with self._store.read() as db:
            rows = db.execute("SELECT * FROM indexes WHERE status = 'ready' ORDER BY folder").fetchall()
        found = {row["id"]: self._shown(row) for row in rows if row["id"] in wanted}
        return list(found.values()), [one for key, one in wanted.items() if key not in found]

    def list_all(self, request: Request) -> Response:
        """A cursor page by name; ``sync_in_progress`` stays null here, as upstream."""
        check_tenant(request)
        source = request.text("source_directory_id")

        def fetch(after: list[Any] | None, size: int) -> list[tuple[list[Any], dict[str, Any]]]:
            with self._store.read() as db:
                rows = db.execute("SELECT * FROM indexes WHERE folder > ? ORDER BY folder", (after or [""])).fetchall()
            shown = [row for row in rows if source in (None, _id("dir", row["folder"]))]
            return [([row["folder"]], self._shown(row)) for row in shown[:size]]

        page = self._pager.page(request, f"indexes {source or ''}", fetch)
        return Response(payload={**page, "total_size": None})

    def get(self, request: Request, index_id: str) -> Response:
        """One index; ``expand=sync_in_progress`` fills that field."""
        check_tenant(request)
        expand = request.texts("expand")
        for position, word in enumerate(expand):
            if word != "sync_in_progress":
                raise invalid(("query", "expand", position), "Input should be 'sync_in_progress'", "enum", word)
        row = self.resolve(index_id)
        return Response(payload={**self._shown(row), "sync_in_progress": bool(row["syncing"]) if expand else None})

    def sync(self, request: Request, index_id: str) -> Response:
        """202; joins a sync that is already running."""
        check_tenant(request)
        self.start(self.resolve(index_id)["id"], self._delay)
        return Response(202, {})

    def cancel_sync(self, request: Request, index_id: str) -> Response:
        """202, or 409 when nothing is running."""
        check_tenant(request)
        key = self.resolve(index_id)["id"]
        with self._guard:
            run = self._runs.get(key)
        if run is None:
            raise conflict("No sync is running for this index")
        run[1].set()
        run[0].join(10)
        return Response(202, {})

    def close(self) -> None:
        """Cancel what is running and wait for it."""
        with self._guard:
            runs = list(self._runs.values())
        for thread, cancelled in runs:
            cancelled.set()
            thread.join(10)

    def start(self, key: str, delay: float) -> threading.Thread | None:
        """Begin a sync in the background, unless one is running.

        Args:
            key: the index's ``id``.
            delay: seconds to wait before the work.
        """
        with self._guard:
            if key in self._runs:
                return None
            cancelled = threading.Event()
            thread = threading.Thread(target=self._run, args=(key, delay, cancelled), daemon=True, name=f"sync {key}")
            self._runs[key] = (thread, cancelled)
            with self._store.write() as db:
                db.execute("UPDATE indexes SET syncing = 1 WHERE id = ?", (key,))
            thread.start()
        return thread

    def _run(self, key: str, delay: float, cancelled: threading.Event) -> None:
        try:
            if not cancelled.wait(delay):
                self._work(key, cancelled)
        except Exception:
            log.exception("sync of %s failed", key)
            self._finish(key, "failed", {}, description=None, changed=False)
        finally:
            with self._guard:
                with self._store.write() as db:
                    db.execute("UPDATE indexes SET syncing = 0 WHERE id = ?", (key,))
                del self._runs[key]

    def _work(self, key: str, cancelled: threading.Event) -> None:
        folder = self._docs / self.resolve(key)["folder"]
        if not folder.is_dir():
            self._finish(key, "failed", {folder.name: "the folder is gone"}, description=None, changed=False)
            return
        outcome = ingest(self._store, key, folder, cancelled)
        if outcome is not None:
            # One damaged file among good ones is told in the metadata; without any readable one nothing was built.
            status = "failed" if outcome.problems and not outcome.documents else "ready"
            self._finish(key, status, outcome.problems, description=describe(folder), changed=outcome.changed)

    def _finish(
        self, key: str, status: str, problems: dict[str, str], *, description: str | None, changed: bool
    ) -> None:
        now = utc_now() + "Z"
        with self._store.write() as db:
            db.execute(
                "UPDATE indexes SET description = coalesce(?, description), status = ?, problems = ?,"
                " last_synced_at = ?, last_exported_at = CASE ? WHEN 'ready' THEN ? ELSE last_exported_at END,"
                " updated_at = CASE WHEN ? THEN ? ELSE updated_at END WHERE id = ?",
                (description, status, json.dumps(problems), now, status, now, changed, now, key),
            )

    @staticmethod
    def _shown(row: sqlite3.Row) -> dict[str, Any]:
        folder = row["folder"]
        metadata: dict[str, Any] = {"status": row["status"] or "building"}
        if problems := json.loads(row["problems"]):
            metadata["unreadable_documents"] = problems
        return {
            "id": row["id"],
            "name": folder,
            "description": row["description"],
            "project_id": PROJECT["id"],
            "source_directory_id": _id("dir", folder),
            "output_directory_id": _id("out", folder),
            "sync_config_id": _id("syn", folder),
            "export_config_id": _id("exc", folder),
            "created_at": row["created_at"],
            "updated_at": row["updated_at"],
            "last_synced_at": row["last_synced_at"],
            "last_exported_at": row["last_exported_at"],
            "metadata": metadata,
            "sync_in_progress": None,
        }
