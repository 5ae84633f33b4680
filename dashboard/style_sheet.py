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
from django.contrib.staticfiles.storage import staticfiles_storage

NAME = "css/app.css"


@cache
def text() -> str:
    """The collected sheet; empty while debugging, when each of its parts is fetched by itself.

    Raises:
        ValueError: the static files are not collected.
    """
    if settings.DEBUG:
        return ""
    with staticfiles_storage.open(staticfiles_storage.stored_name(NAME)) as file:  # type: ignore[attr-defined]  # ours has it
        sheet: str = file.read().decode()
    return sheet


@cache
def source() -> str:
    """What allows it in ``style-src``: a hash of the text (CSP Level 3, 2.3.1)."""
    digest = base64.b64encode(hashlib.sha256(text().encode()).digest()).decode()
    return f"'sha256-{digest}'"
