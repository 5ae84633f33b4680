"""JSON from outside is made safe also where the short way round is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboard.upstream.jsontext import MAX_DEPTH, REMOVED, read_json

KEY = "llx-secret/key"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_as_deep_as_may_be_and_no_deeper() -> None:
    assert read_json(nested(MAX_DEPTH)) != []
    with pytest.raises(ValueError, match="deeply"):
        read_json(nested(MAX_DEPTH + 1))


def test_what_lies_side_by_side_is_not_deep() -> None:
    assert len(read_json("[" + ",".join(["{}"] * 1_000) + "]")) == 1_000


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (json.dumps(f"a {KEY} b"), f"a {REMOVED} b"),
        ('"a ' + KEY.replace("/", "\\/") + ' b"', f"a {REMOVED} b"),
        ('"' + "".join(f"\\u{ord(character):04x}" for character in KEY) + '"', REMOVED),
        ('{"' + KEY.replace("s", "\\u0073") + '": 1}', {REMOVED: 1}),
        ('"a\\u0000b\\ud800c"', "a\ufffdb\ufffdc"),
        ('"\\\\u0000"', "\\u0000"),
    ],
)
def test_a_key_is_removed_and_nothing_unstorable_kept_however_it_is_spelled(written: str, value: Any) -> None:
    assert read_json(written, without=KEY) == value
