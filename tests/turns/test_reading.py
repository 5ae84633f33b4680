"""Passages and places in tool results whose shape nobody has published."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.turns.reading import MAX_CITATIONS, Citation, citations_in, passages_in
from dashboard.upstream import ToolResult

IMAGE = {"source_id": "dfl-1", "attachment_name": "screenshots/page_7.jpg"}


def places(result: Any, image: Any = None) -> list[Citation]:
    event = {"type": "tool_result", "call_id": "c", "name": "n", "result": result, "image_attachment": image}
    return citations_in(ToolResult.model_validate(event))


@pytest.mark.parametrize(
    ("result", "count"),
    [
        (None, 0),
        ("text", 0),
        (7, 0),
        ([{"content": "a"}, {"content": "b"}, {"content": 3}, "c"], 2),
        ({"results": {"rows": [{"content": "a"}]}}, 1),
        ({"a": {"b": {"c": {"d": {"e": {"content": "too deep"}}}}}}, 0),
    ],
)
def test_passages_are_found_wherever_they_stand(result: Any, count: int) -> None:
    assert len(passages_in(result)) == count


@pytest.mark.parametrize(
    ("row", "citation"),
    [
        ({"document": "A", "page": 3}, Citation("A", "page 3")),
        ({"file_name": "A", "line": 12}, Citation("A", "line 12")),
        ({"metadata": {"file_name": "A", "page_label": "iv"}}, Citation("A", "page iv")),
        ({"static_fields": {"display_name": "A"}}, Citation("A", "")),
        ({"document": "A", "metadata": {"document": "B"}}, Citation("A", "")),
        ({"document": True, "source": "A"}, Citation("A", "")),
        ({"document": "x" * 500}, Citation("x" * 200, "")),
        (
            {"document": "A", "static_fields": {"attachments": ["odd", {}, {"type": "image", **IMAGE}]}},
            Citation("A", "", "dfl-1", "screenshots/page_7.jpg"),
        ),
    ],
)
def test_a_place_has_a_document_and_perhaps_a_page_a_line_or_an_image(row: dict[str, Any], citation: Citation) -> None:
    assert places([{"content": "words", **row}]) == [citation]


def test_a_passage_of_no_document_is_no_place() -> None:
    assert places([{"content": "words", "document": "  "}]) == []


def test_the_image_goes_with_the_first_place_on_its_page() -> None:
    rows = [{"content": "x", "document": "A", "page": page} for page in (2, 7, 7)]

    assert places(rows, IMAGE) == [
        Citation("A", "page 2"),
        Citation("A", "page 7", "dfl-1", "screenshots/page_7.jpg"),
    ]


def test_an_image_without_a_place_is_one_itself() -> None:
    assert places("no rows", IMAGE) == [Citation("Page image", "", "dfl-1", "screenshots/page_7.jpg")]


def test_places_of_one_result_are_bounded() -> None:
    rows = [{"content": "x", "document": f"D{number}"} for number in range(200)]

    assert len(places(rows)) == MAX_CITATIONS
