"""Light or dark, remembered in a cookie so that no page flashes."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

YEAR = 365 * 24 * 3600


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Remember the choice (``light``, ``dark``; anything else follows the system) and go back."""
    response = HttpResponseRedirect(_back(request))
    theme = request.POST.get("theme", "")
    if theme in ("light", "dark"):
        response.set_cookie(
            "theme", theme, max_age=YEAR, path=settings.SESSION_COOKIE_PATH, samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE, httponly=True,
        )  # fmt: skip
    else:
        response.delete_cookie("theme", path=settings.SESSION_COOKIE_PATH)
    return response


def _back(request: HttpRequest) -> str:
    came_from = request.POST.get("next") or request.headers.get("Referer", "")
    safe = url_has_allowed_host_and_scheme(
        came_from, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return came_from if safe else resolve_url("home")
