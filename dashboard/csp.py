"""The Content-Security-Policy, with its one exception."""

from __future__ import annotations

from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """Sends the policy of ``settings.CONTENT_SECURITY_POLICY``.

    Django's admin scripts assign ``innerHTML``, which Trusted Types forbids, so the admin gets the same policy
    without the two Trusted Types directives. Everything else on it stays as strict.
    """

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """Answer what the header is built from."""
        parts = super().get_policy_parts(request, response, report_only)
        if request.path.startswith(reverse("admin:index")):
            parts.replace = {**(parts.replace or {}), "require-trusted-types-for": None, "trusted-types": None}
        return parts
