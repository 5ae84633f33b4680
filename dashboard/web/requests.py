"""The request as the views know it: signed in, with its origin."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from dashboard.audit.trail import Origin


class Request(HttpRequest):
    """What the middleware leaves for a view: typed, so that nothing is guessed from the air."""

    user: User
    htmx: HtmxDetails
    origin: Origin
    request_id: str


def number_in(text: str) -> int | None:
    """The number an address or a form says; ``None`` if it says none that a row could have."""
    return int(text) if text.isdecimal() and len(text) < 10 else None
