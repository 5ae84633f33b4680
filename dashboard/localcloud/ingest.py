"""Bringing one folder's documents into the database, changed files only."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path

from dashboard.localcloud.documents import Document, UnreadableDocumentError, list_documents, read_document
from dashboard.localcloud.passages import cut
from dashboard.localcloud.store import Store, utc_now


@dataclass
class Outcome:
    """What an ingest found: readable documents, problems by document name, whether anything changed."""

    documents: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    changed: bool = False


def ingest(store: Store, index_id: str, folder: Path, cancelled: threading.Event) -> Outcome | None:
    """Read what changed since the last time; forget what is gone or has become unreadable.

    Each document is its own short transaction, so questions are answered meanwhile.

    Returns:
        the outcome, or ``None`` when it was cancelled between two documents; what was read stays.
    """
    outcome = Outcome()
    with store.read() as db:
        rows = db.execute("SELECT name, id, stamp FROM documents WHERE index_id = ?", (index_id,)).fetchall()
    known = {row["name"]: row for row in rows}
    for path in list_documents(folder):
        if cancelled.is_set():
            return None
        name = path.relative_to(folder).as_posix()
        old = known.pop(name, None)
        try:
            facts = path.stat()
            stamp = f"{facts.st_size} {facts.st_mtime_ns}"
            if old is None or old["stamp"] != stamp:
                with_text = read_document(path)
                with store.write() as db:
                    _replace(db, index_id, name, stamp, with_text)
                outcome.changed = True
            outcome.documents += 1
        except (UnreadableDocumentError, OSError) as problem:
            outcome.problems[name] = str(problem)
            if old is not None:
                known[name] = old
    outcome.changed |= bool(known)
    with store.write() as db:
        db.executemany("DELETE FROM documents WHERE id = ?", [(row["id"],) for row in known.values()])
    return outcome


def _replace(db: sqlite3.Connection, index_id: str, name: str, stamp: str, document: Document) -> None:
    key = f"dfl-{hashlib.sha256(f'{index_id}/{name}'.encode()).hexdigest()[:16]}"
    db.execute("DELETE FROM documents WHERE id = ?", (key,))
    db.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", (key, index_id, name, stamp, utc_now() + "Z"))
    pages = [(key, number, text) for number, text in enumerate(document.pages, start=1)]
    db.executemany("INSERT INTO pages VALUES (?, ?, ?)", pages)
    db.executemany(
        "INSERT INTO passages (index_id, document_id, text, heading, page, line) VALUES (?, ?, ?, ?, ?, ?)",
        [(index_id, key, one.text, one.heading, one.page, one.line) for one in cut(document.sections)],
    )
