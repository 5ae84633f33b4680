"""Composing an answer from passages: quotes with their place, and plain words about what this is."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.localcloud.pictures import picture_name
from dashboard.localcloud.search import Hit

MAX_QUOTES = 3
RELATIVE_SCORE = 0.35
"""A passage scoring below this share of the best one is found, but not quoted."""
QUOTING = "Quoted word for word from the chosen sources. No language model is involved: this server looks up words."
NOTHING = (
    "Nothing in the chosen sources matches the words of this question. No language model is involved: this server"
    " looks up words, so other words may find what you need."
)
HELD = "These are the documents in them:"
MAX_NAMES = 12
"""Documents of one source that are named when nothing was found."""
_MARKUP = re.compile(r"([\\`*_\[\]<>#&|~])")


def count_tokens(text: str) -> int:
    """Approximate tokens: four for every three words, rounded up. There is no model, so there is no tokenizer."""
    return math.ceil(len(text.split()) * 4 / 3)


def compose(hits: Sequence[Hit]) -> str:
    """The answer in Markdown.

    Args:
        hits: what was found in all indexes, any order; at least one.
    """
    best = sorted(hits, key=lambda hit: -hit.score)[:MAX_QUOTES]
    quotes = [_quote(hit) for hit in best if hit.score >= best[0].score * RELATIVE_SCORE]
    return "\n\n".join([QUOTING, *quotes])


def overview(held: Mapping[str, Sequence[str]]) -> str:
    """The answer in Markdown when no passage matches: what there is to ask about.

    Args:
        held: the names of the documents in each searched index, by the index's name.
    """
    parts = [NOTHING, HELD] if any(held.values()) else [NOTHING]
    for index_name, documents in held.items():
        if documents:
            lines = [f"- {_plain(name)}" for name in documents[:MAX_NAMES]]
            more = len(documents) - MAX_NAMES
            parts += [f"**{_plain(index_name)}**", "\n".join([*lines, *([f"- and {more} more"] if more > 0 else [])])]
    return "\n\n".join(parts)


def tool_result(hits: Sequence[Hit]) -> tuple[list[dict[str, Any]], dict[str, str] | None]:
    """What a retrieval reports: the passages, and the page image of the best one that has a page (contract.md §8)."""
    found = [
        {
            "content": hit.text,
            "document": hit.document,
            "heading": hit.heading or None,
            "page": hit.page,
            "line": hit.line,
            "score": round(hit.score, 6),
        }
        for hit in hits
    ]
    paged = next((hit for hit in hits if hit.page is not None), None)
    if paged is None or paged.page is None:
        return found, None
    return found, {"source_id": paged.document_id, "attachment_name": picture_name(paged.page)}


def _quote(hit: Hit) -> str:
    place = f"page {hit.page}" if hit.page is not None else f"line {hit.line}"
    under = f", under “{_plain(hit.heading)}”" if hit.heading else ""
    # Indented text would become a block of code.
    body = "\n".join(f"> {line}".rstrip() for line in textwrap.dedent(hit.text).split("\n"))
    return f"**{_plain(hit.document)}**, {place}{under} ({_plain(hit.index_name)}):\n\n{body}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
