"""The few shapes an answer has: a page or its fragment, unchanged, an error."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dashboard.errors import DashboardError

FRAGMENT_HEADER = "X-Corral-Fragment"
"""Marks an answer as ours: the page swaps in no failure without it, so a proxy's error page stays out."""


def page_or_fragment(
    request: HttpRequest, page: str, fragment: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render the page, or only its fragment when htmx asks for that part."""
    wanted = fragment if request.htmx else page  # type: ignore[attr-defined]  # set by django-htmx's middleware
    response = render(request, wanted, context, status=status)
    response[FRAGMENT_HEADER] = "1"
    return response


def unchanged() -> HttpResponse:
    """Nothing to swap in: the page already shows the truth."""
    return HttpResponse(status=204)


def error_answer(request: HttpRequest, error: DashboardError) -> HttpResponse:
    """Tell a failure in plain words, as a page or a fragment, with its status and ``Retry-After``."""
    context = {
        "status": error.status,
        "heading": "This did not work",
        "sentence": error.sentence,
        "detail": error.detail,
        "retry_after": error.retry_after,
        "request_id": getattr(request, "request_id", ""),
    }
    response = page_or_fragment(request, "errors/page.html", "errors/_fragment.html", context, status=error.status)
    return tell_when_to_retry(response, error)


def tell_when_to_retry(response: HttpResponse, error: DashboardError) -> HttpResponse:
    """Pass on how long LlamaCloud asked us to wait, if it did."""
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response
