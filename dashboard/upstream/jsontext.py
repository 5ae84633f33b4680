"""JSON from outside, made safe to store and to show."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_DEPTH = 100
"""Levels of nesting; whatever is deeper could not be laid out or stored later."""
_MAY_HOLD_UNSTORABLE = re.compile(rb"\\u(?:0000|d[89a-f])", re.IGNORECASE)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def read_json(body: bytes) -> Any:
    """Decode a JSON document.

    NUL and lone surrogates, which JSON can write but neither database can store nor UTF-8 carry, become U+FFFD; numbers
    beyond a float's range and ``NaN`` become ``None``.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deeply.
    """
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: None, parse_float=_finite)
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper_than(MAX_DEPTH, value):
            raise ValueError("nested too deeply")
        return _storable(value) if _MAY_HOLD_UNSTORABLE.search(body) else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _is_deeper_than(depth: int, value: Any) -> bool:
    level = [value]
    for _ in range(depth):
        level = [item for inner in level for item in _inside(inner)]
    return bool(level)


def _inside(value: Any) -> list[Any]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in children if isinstance(child, dict | list)]


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value
