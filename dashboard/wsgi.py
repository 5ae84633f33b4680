"""The door for web servers: ``dashboard.wsgi:application``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from django.core.wsgi import get_wsgi_application

from dashboard.config import Config, ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")


class Front:
    """What a reverse proxy in front says, believed only when the proxy is one of ours.

    - ``X-Forwarded-Proto`` from a trusted proxy decides whether the person came over HTTPS; from anybody else it is
      dropped, or one header would switch off the redirect to https.
    - A proxy may strip ``URL_PREFIX`` from the path or leave it: both reach the same page.
    """

    def __init__(self, application: WSGIApplication, config: Config) -> None:
        self.application = application
        self.config = config

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        scheme = environ.pop("HTTP_X_FORWARDED_PROTO", "")
        if scheme in {"http", "https"} and self._trusts(environ.get("REMOTE_ADDR", "")):
            environ["wsgi.url_scheme"] = scheme
        path, prefix = environ.get("PATH_INFO", ""), self.config.url_prefix
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return self.application(environ, start_response)

    def _trusts(self, peer: Any) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:  # a Unix socket has no address
            return False
        return any(address in network for network in self.config.trusted_proxies)


def _application() -> Front:
    from django.conf import settings

    try:
        return Front(get_wsgi_application(), settings.CORRAL)
    except ConfigError as problem:
        sys.exit(f"Corral cannot start:\n{problem}")


application = _application()
