"""JSON from outside, made safe to store and to show."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 100
"""Levels of nesting; whatever is deeper could not be laid out or stored later."""
_MAY_HOLD_UNSTORABLE = re.compile(r"\\u(?:0000|d[89a-f])", re.IGNORECASE)
_MAY_SPELL_OTHERWISE = re.compile(r'\\[u/"\\]')
"""Escapes that can stand for a character of a key."""
REMOVED = "[removed]"
_BLANK = " \t\r\n"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


_decoder = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_finite)


def read_json(body: bytes | str, *, without: str = "") -> Any:
    """Decode a JSON document.

    Args:
        body: the document.
        without: a secret that is removed from every string, however it was written.

    NUL and lone surrogates, which JSON can write but neither database can store nor UTF-8 carry, become U+FFFD; numbers
    beyond a float's range and ``NaN`` become ``None``.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deeply.
    """
    try:
        text = body.decode("utf-8-sig") if isinstance(body, bytes) else body.removeprefix("\ufeff")
        value, end = _decoder.raw_decode(text := text.strip(_BLANK))
        if end < len(text):
            raise ValueError("more than one document")
        if end > 2 * MAX_DEPTH and text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper_than(MAX_DEPTH, value):
            raise ValueError("nested too deeply")
        is_escaped = "\\" in text
        if is_escaped and _MAY_HOLD_UNSTORABLE.search(text):
            value = mapped(value, lambda text: _UNSTORABLE.sub("\ufffd", text))
        if without and (without in text or (is_escaped and _MAY_SPELL_OTHERWISE.search(text))):
            value = mapped(value, lambda text: text.replace(without, REMOVED))
        return value
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


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The same document with every string changed, names of members too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): mapped(item, change) for key, item in value.items()}
    return value
