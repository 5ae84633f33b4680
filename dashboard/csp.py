"""The Content-Security-Policy, and what differs in the admin."""

from __future__ import annotations

from functools import cache

from csp.constants import HEADER
from csp.utils import build_policy
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from dashboard import style_sheet


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Sends the policy of ``settings.CONTENT_SECURITY_POLICY``, unless the answer brings a stricter one of its own.

    Django's admin scripts assign ``innerHTML``, which Trusted Types forbids, so the admin gets the same policy
    without the two Trusted Types directives. Everything else on it stays as strict. The other pages carry their style
    sheet, which is allowed by its hash.

    No page has a nonce, so the two policies are put together once and not for every answer, as django-csp's own
    middleware does.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the header."""
        response.headers.setdefault(HEADER, _policy(in_admin=request.path.startswith(reverse("admin:index"))))
        return response


@cache
def _policy(*, in_admin: bool) -> str:
    if in_admin:
        return str(build_policy(replace={"require-trusted-types-for": None, "trusted-types": None}))
    return str(build_policy(update={"style-src": [style_sheet.source()]}))
