"""Where a request comes from, and how a failure becomes a page."""

from __future__ import annotations

import ipaddress
import logging
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from dashboard.audit.trail import Origin
from dashboard.errors import DashboardError
from dashboard.web.respond import error_answer

log = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED")


class RequestContextMiddleware:
    """Gives every request an id and a true origin, believing ``X-Forwarded-*`` only from ``TRUSTED_PROXIES``."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set ``request_id`` and ``origin``; answer with ``X-Request-ID``."""
        request.request_id = uuid.uuid4().hex  # type: ignore[attr-defined]  # see web.requests.Request
        peer = request.META.get("REMOTE_ADDR", "")
        if _is_trusted(peer):
            peer = _client_behind(request.META.get("HTTP_X_FORWARDED_FOR", ""), peer)
            if request.META.get("HTTP_X_FORWARDED_PROTO") == "https":
                request.META["wsgi.url_scheme"] = request.environ["wsgi.url_scheme"] = "https"  # type: ignore[attr-defined]
        else:
            for name in FORWARDED:
                request.META.pop(name, None)
        request.META["REMOTE_ADDR"] = peer
        request.origin = Origin(request.request_id, _address(peer))  # type: ignore[attr-defined]
        response = _too_long() if _is_too_long(request) else self.get_response(request)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response


def _is_too_long(request: HttpRequest) -> bool:
    """Whether more is announced than any form holds. Django counts no files, and would take them all into memory."""
    announced = request.META.get("CONTENT_LENGTH") or "0"
    return not announced.isdecimal() or int(announced) > (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0)


def _too_long() -> HttpResponse:
    words = "That is more than Corral takes at once. Nothing was saved: send less."
    return HttpResponse(words, status=413, content_type="text/plain; charset=utf-8", headers={"Connection": "close"})


def _is_trusted(peer: str) -> bool:
    networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = settings.CORRAL.trusted_proxies
    address = _address(peer) if networks else None
    return address is not None and any(ipaddress.ip_address(address) in network for network in networks)


def _client_behind(forwarded: str, peer: str) -> str:
    """The first address, from the right, that no trusted proxy could have written: the left ones are hearsay."""
    for hop in reversed([hop.strip() for hop in forwarded.split(",") if hop.strip()]):
        address = _address(hop)
        if address is None:
            return peer
        peer = address
        if not _is_trusted(address):
            break
    return peer


@lru_cache(maxsize=1024)
def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


class PageMiddleware:
    """Turns every :class:`DashboardError` into the page or fragment that tells it; the only place that does.

    It also keeps pages out of caches, and refuses what no browser sends and PostgreSQL cannot take: NUL, in an address
    or in a form.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Keep pages out of caches; static files are answered further out and stay cacheable."""
        response = self.get_response(request)
        # The same address answers a page or a fragment, and never the same to two people.
        patch_vary_headers(response, ["HX-Request", "Cookie"])
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def process_view(self, request: HttpRequest, *_view: Any) -> None:
        """Look for NUL before any view can use it.

        Raises:
            BadRequest: there is one; Django answers 400.
        """
        for sent in (request.GET, request.POST):
            if any("\0" in value for values in sent.lists() for value in (values[0], *values[1])):
                raise BadRequest("NUL in a parameter")

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for what a view let through; unexpected errors stay with Django."""
        if not isinstance(error, DashboardError):
            return None
        # Escaped: a line break in an address must not forge a line of the log.
        log.warning("%s %s: %s", request.method, request.path.encode("unicode_escape").decode(), error.code)
        return error_answer(request, error)
