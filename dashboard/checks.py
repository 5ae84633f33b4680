"""What Django's ``check`` says about this installation beyond Django's own checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def https_ends_somewhere(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Point at the usual cause of a redirect loop: HTTPS ends at a proxy that is not trusted."""
    config = settings.CORRAL
    if not config.encrypted or config.trusted_proxies:
        return []
    return [
        Warning(
            "Corral sends everybody to https, but no proxy is trusted to say that a person came over https.",
            hint="Set TRUSTED_PROXIES to the address of the proxy that ends HTTPS, or INSECURE_HTTP=1 for a trial.",
            id="corral.W001",
        )
    ]
