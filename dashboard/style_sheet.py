"""The style sheet as pages carry it: written into the page, so that nothing is fetched before the first paint.

Measured with ``benchmarks/first_paint.py``: a sheet of its own costs a cold page a round trip and a fifth of the time
until something is seen. In the page it costs 8 kB, compressed. The policy allows this one text by its hash, and no
other.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from django.conf import settings

from dashboard.static_bundle import BundledStaticFilesStorage

NAME = "css/app.css"


@cache
def text() -> str:
    """The collected sheet; empty while debugging, when each of its parts is fetched by itself.

    Raises:
        ValueError: the static files are not collected.
    """
    if settings.DEBUG:
        return ""
    collected = BundledStaticFilesStorage()
    with collected.open(collected.stored_name(NAME)) as file:
        sheet: str = file.read().decode()
    return sheet


@cache
def source() -> str:
    """What allows it in ``style-src``: a hash of the text (CSP Level 3, 2.3.1)."""
    digest = base64.b64encode(hashlib.sha256(text().encode()).digest()).decode()
    return f"'sha256-{digest}'"
