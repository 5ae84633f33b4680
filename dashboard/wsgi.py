"""The door for web servers: ``dashboard.wsgi:application``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application

from dashboard.config import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")


class Prefixed:
    """Serves under ``URL_PREFIX`` whether the proxy in front strips it from the path or leaves it there."""

    def __init__(self, application: WSGIApplication, prefix: str) -> None:
        self.application = application
        self.prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path = environ.get("PATH_INFO", "")
        if path == self.prefix or path.startswith(f"{self.prefix}/"):
            environ["PATH_INFO"] = path[len(self.prefix) :] or "/"
        return self.application(environ, start_response)


def _application() -> WSGIApplication:
    from django.conf import settings

    try:
        django = get_wsgi_application()
    except ConfigError as problem:
        sys.exit(f"Corral cannot start:\n{problem}")
    from dashboard import in_page
    from dashboard.management.static_files import NOT_COLLECTED

    try:
        in_page.policy()
    except ValueError:
        sys.exit(f"Corral cannot start:\n{NOT_COLLECTED}")
    prefix = settings.CORRAL.url_prefix
    return Prefixed(django, prefix) if prefix else django


application = _application()
