"""Finding passages: SQLite FTS5 ranked by BM25."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.localcloud.store import Store

MAX_TERMS = 64
HEADING_WEIGHT = 2.0
_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    _WORD.findall(
        "a about all am an and any are as at be been but by can could did do does for from had has have how i if in"
        " into is it its me my no not of on or our shall should so than that the their them then there these they this"
        " to us was we were what when where which who why will with would you your"
    )
)


@dataclass(frozen=True)
class Hit:
    """A passage that matches, and where it stands."""

    index_name: str
    document_id: str
    document: str
    text: str
    heading: str
    page: int | None
    line: int | None
    score: float
    """BM25, the larger the better; comparable between indexes because they share one table."""


def match_expression(question: str) -> str:
    """The FTS5 query for a question: any of its words, each quoted, so that nothing in it is syntax.

    Very common English words are left out unless there is nothing else. Empty when the question holds no word.
    """
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(question)))
    words = [word for word in words if word not in _COMMON] or words
    return " OR ".join(f'"{word}"' for word in words[:MAX_TERMS])


def search(store: Store, index_id: str, question: str, limit: int) -> list[Hit]:
    """The best passages of one index, best first."""
    expression = match_expression(question)
    if not expression:
        return []
    with store.read() as db:
        rows = db.execute(
            "SELECT indexes.folder, documents.id, documents.name, passages.text, passages.heading, passages.page,"
            " passages.line, -bm25(words, 1.0, ?) AS score FROM words"
            " JOIN passages ON passages.id = words.rowid JOIN documents ON documents.id = passages.document_id"
            " JOIN indexes ON indexes.id = passages.index_id"
            " WHERE words MATCH ? AND passages.index_id = ? ORDER BY score DESC, passages.id LIMIT ?",
            (HEADING_WEIGHT, expression, index_id, limit),
        ).fetchall()
    return [Hit(*row) for row in rows]


def documents_in(store: Store, index_ids: Sequence[str]) -> dict[str, list[str]]:
    """The names of the documents in each of these indexes, by the index's name, in the order given."""
    held: dict[str, list[str]] = {}
    with store.read() as db:
        for index_id in index_ids:
            rows = db.execute(
                "SELECT indexes.folder, documents.name FROM documents JOIN indexes ON indexes.id = documents.index_id"
                " WHERE indexes.id = ? ORDER BY documents.name",
                (index_id,),
            )
            for folder, name in rows:
                held.setdefault(folder, []).append(name)
    return held
