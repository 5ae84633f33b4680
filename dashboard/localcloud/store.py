"""The SQLite file: schema, pooled connections, transactions, and what a killed process left behind."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, LifoQueue

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE secret (value BLOB NOT NULL);
CREATE TABLE indexes (
    id TEXT PRIMARY KEY, folder TEXT NOT NULL, description TEXT, status TEXT, problems TEXT NOT NULL DEFAULT '{}',
    syncing INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, updated_at TEXT, last_synced_at TEXT,
    last_exported_at TEXT
);
CREATE TABLE documents (
    id TEXT PRIMARY KEY, index_id TEXT NOT NULL REFERENCES indexes ON DELETE CASCADE,
    name TEXT NOT NULL, stamp TEXT NOT NULL, read_at TEXT NOT NULL
);
CREATE INDEX documents_of_index ON documents (index_id);
CREATE TABLE pages (
    document_id TEXT NOT NULL REFERENCES documents ON DELETE CASCADE,
    number INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (document_id, number)
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, index_id TEXT NOT NULL, document_id TEXT NOT NULL REFERENCES documents ON DELETE CASCADE,
    text TEXT NOT NULL, heading TEXT NOT NULL, page INTEGER, line INTEGER
);
CREATE INDEX passages_of_document ON passages (document_id);
CREATE VIRTUAL TABLE words USING fts5(
    text, heading, content='passages', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER passage_added AFTER INSERT ON passages BEGIN
    INSERT INTO words (rowid, text, heading) VALUES (new.id, new.text, new.heading);
END;
CREATE TRIGGER passage_removed AFTER DELETE ON passages BEGIN
    INSERT INTO words (words, rowid, text, heading) VALUES ('delete', old.id, old.text, old.heading);
END;
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY, last_updated_at TEXT NOT NULL, shared_access TEXT NOT NULL, generated_title TEXT,
    index_ids TEXT, job_metadata TEXT, running TEXT
);
CREATE INDEX sessions_newest ON sessions (last_updated_at DESC, session_id DESC);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE, event TEXT NOT NULL
);
CREATE INDEX events_of_session ON events (session_id, id);
"""


def utc_now() -> str:
    """Now in the form sessions carry it: UTC with microseconds and no zone (contract.md §1)."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


class Store:
    """One SQLite file in WAL mode.

    Connections are pooled instead of opened per request, because closing the last one makes SQLite checkpoint and
    remove the log each time. A connection is used by one thread at a time.

    Args:
        path: the file; created with its folder when absent.

    Raises:
        RuntimeError: the file was made by another version of this schema.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        self._closed = False
        with self.write() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._create(db)
            elif version != SCHEMA_VERSION:
                raise RuntimeError(
                    f"{path} holds version {version} of localcloud's tables, this is {SCHEMA_VERSION}."
                    " Delete the file: it is made again from the documents."
                )
            self.secret: bytes = db.execute("SELECT value FROM secret").fetchone()[0]

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; what it reads is one snapshot."""
        with self._transaction("BEGIN") as db:
            yield db

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start and rolls back on an error."""
        with self._transaction("BEGIN IMMEDIATE") as db:
            yield db

    def close(self) -> None:
        """Close every idle connection; those in use close when they are given back."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        db = self._take()
        try:
            db.execute(begin)
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            if self._closed:
                db.close()
            else:
                self._idle.put(db)

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except Empty:
            db = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            return db

    @staticmethod
    def _create(db: sqlite3.Connection) -> None:
        # executescript() would commit the transaction we are in; statements end at a line that is not indented.
        for statement in _SCHEMA.replace(";\nEND;", ";;END;").replace(";\n", ";\0").split("\0"):
            if statement.strip():
                db.execute(statement.replace(";;END;", ";\nEND;"))
        db.execute("INSERT INTO secret VALUES (?)", (secrets.token_bytes(32),))
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
