"""Static files for production: hashed names, compressed, one style sheet and one script instead of many.

The source keeps one CSS file a component and one script a behaviour; ``app.css`` and ``app.js`` only order them:
``@import url("base.css") layer(base);`` and ``import "announce.js";``. A browser would fetch those one by one, so
``collectstatic`` writes their text into the importing file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from django.core.files.base import ContentFile
from whitenoise.storage import CompressedManifestStaticFilesStorage

IMPORT = re.compile(r"""@import\s+url\(["']?(?P<file>[^"')]+)["']?\)\s*(?:layer\((?P<layer>[\w.-]+)\))?\s*;""")
SCRIPT = re.compile(r"""^import "(?P<file>[^"]+)";$""", re.MULTILINE)
"""A line of ``app.js``. What it names becomes a block of its own in a module (js/start.js); while debugging each is a
plain script, so they must run as both."""
SPARE = re.compile(r"""/\*.*?\*/\n?|(?<=\n)\s+""", re.DOTALL)
"""Remarks, indents and empty lines of a style sheet: a tenth of what every page carries (dashboard/in_page.py)."""
URL = re.compile(r"""url\((?P<quote>["']?)(?P<file>[^"')]+)(?P=quote)\)""")
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|/|#)", re.IGNORECASE)
"""Addresses that mean the same from every folder."""


class BundledStaticFilesStorage(CompressedManifestStaticFilesStorage):
    """whitenoise's storage, with local ``@import`` lines replaced by what they import."""

    def post_process(self, paths: dict[str, Any], *args: Any, **options: Any) -> Iterator[Any]:
        """Bundle first, then let Django hash and whitenoise compress the result."""
        bundled: dict[str, Any] = {}
        for name in paths:
            if name.endswith(".css") and "@import" in (text := self._source(paths, name)):
                whole = SPARE.sub("", self._inlined(paths, name, text))
            elif name.endswith(".js") and SCRIPT.search(text := self._source(paths, name)):
                whole = self._joined(paths, name, text)
            else:
                continue
            self.delete(name)
            self._save(name, ContentFile(whole.encode()))
            bundled[name] = (self, name)  # Django reads what it hashes from here
        yield from super().post_process({**paths, **bundled}, *args, **options)

    def _source(self, paths: dict[str, Any], name: str) -> str:
        # The original, not the collected copy: that one may be an earlier run's bundle.
        storage, path = paths[name]
        with storage.open(path) as file:
            text: str = file.read().decode()
        return text

    def _inlined(self, paths: dict[str, Any], name: str, text: str) -> str:
        folder = posixpath.dirname(name)

        def replace(match: re.Match[str]) -> str:
            target = posixpath.normpath(posixpath.join(folder, match["file"]))
            if ELSEWHERE.match(match["file"]) or target not in paths:
                return match[0]  # Django's own check then names the missing file
            inner = self._inlined(paths, target, self._source(paths, target))
            inner = _moved(inner, posixpath.dirname(target), folder)
            return f"@layer {match['layer']} {{\n{inner}\n}}" if match["layer"] else inner

        return IMPORT.sub(replace, text)

    def _joined(self, paths: dict[str, Any], name: str, text: str) -> str:
        parts = (self._source(paths, part) for part in scripts_of(name, text))
        return "".join(f"{{\n{part}\n}}\n" for part in parts)


def scripts_of(name: str, text: str) -> list[str]:
    """The scripts a bundle names, in order, as names of static files."""
    folder = posixpath.dirname(name)
    return [posixpath.normpath(posixpath.join(folder, match["file"])) for match in SCRIPT.finditer(text)]


def _moved(text: str, old: str, new: str) -> str:
    """Rewrite relative addresses in ``text`` for its new folder."""

    def replace(match: re.Match[str]) -> str:
        if ELSEWHERE.match(match["file"]):
            return match[0]
        return f'url("{posixpath.relpath(posixpath.join(old, match["file"]), new or ".")}")'

    return URL.sub(replace, text)
