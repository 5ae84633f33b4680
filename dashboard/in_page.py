"""What every page carries in itself: the style sheet, and the few lines that fetch the scripts.

So nothing is fetched before the first paint. Measured with ``benchmarks/first_paint.py``: a sheet of its own costs a
cold page a round trip and a fifth of the time until something is seen, scripts that are fetched and started meanwhile
an eighth. In the page the sheet costs 7 kB, compressed. The policy allows these two texts, and no other, by their hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from typing import Any

from django.conf import settings
from django.templatetags.static import static

from dashboard.static_bundle import BundledStaticFilesStorage

SHEET = "css/app.css"
SCRIPTS = "js/app.js"
STARTER = "js/start.js"
REMARK = re.compile(r"^//.*\n", re.MULTILINE)


def sheet() -> str:
    """The collected style sheet; empty while debugging, when each of its parts is fetched by itself.

    Raises:
        ValueError: the static files are not collected.
    """
    return "" if settings.DEBUG else _collected(SHEET)


@cache
def _starter() -> str:
    return REMARK.sub("", _collected(STARTER)).replace("app.js", static(SCRIPTS))


def starter() -> str:
    """The script that starts the others; empty while debugging.

    Raises:
        ValueError: the static files are not collected.
    """
    return "" if settings.DEBUG else _starter()


def policy() -> dict[str, Any]:
    """What allows them: a hash of each text for its directive (CSP Level 3, 2.3.1).

    Raises:
        ValueError: the static files are not collected.
    """
    return {"style-src": [_hash(sheet())], "script-src": [_hash(starter())]}


@cache
def _collected(name: str) -> str:
    storage = BundledStaticFilesStorage()
    with storage.open(storage.stored_name(name)) as file:
        text: str = file.read().decode()
    return text


@cache
def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
