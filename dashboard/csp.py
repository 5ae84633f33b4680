"""The Content-Security-Policy, and what differs in the admin."""

from __future__ import annotations

from functools import cache

from csp.constants import HEADER
from csp.utils import build_policy
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from dashboard import in_page


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Sends the policy of ``settings.CONTENT_SECURITY_POLICY``, unless the answer brings one of its own.

    Django's admin scripts assign ``innerHTML``, which Trusted Types forbids, so the admin gets the same policy
    without the two Trusted Types directives. Everything else on it stays as strict. What pages carry in themselves
    (``in_page``) is allowed by its hash; in the admin, those that tell of an error do.

    No page has a nonce, so the two policies are put together once and not for every answer, as django-csp's own
    middleware does.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the header."""
        in_admin = request.resolver_match is not None and "admin" in request.resolver_match.namespaces
        response.headers.setdefault(HEADER, _policy(in_admin=in_admin))
        return response


@cache
def _policy(*, in_admin: bool) -> str:
    without = {"require-trusted-types-for": None, "trusted-types": None}
    return str(
        build_policy(replace=without if in_admin else None, update=in_page.policy()),
    )
