"""The one Django app; its rooms are packages inside it."""

from __future__ import annotations

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "dashboard"
    verbose_name = "Corral"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Load what registers itself by being imported."""
        from dashboard import checks  # noqa: F401
