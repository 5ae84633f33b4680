"""The one Django app; its rooms are packages inside it."""

from __future__ import annotations

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "dashboard"
    verbose_name = "Corral"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Load what registers itself by being imported, and what is told of new connections to the database."""
        from django.db.backends.signals import connection_created

        from dashboard import checks  # noqa: F401
        from dashboard.idle import bound_idleness

        connection_created.connect(bound_idleness)
