"""Every address of the dashboard; people bookmark and script these."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from dashboard.web.views import health, new, regions, session, sessions, setup, theme

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="session-list"), name="home"),
    path("sessions/", sessions.index, name="session-list"),
    path("sessions/refresh/", sessions.refresh, name="session-refresh"),
    path("sessions/new/", new.create, name="session-new"),
    # /sessions/<session_id>/ …
    path("sessions/<str:session_id>/", session.detail, name="session-detail"),
    path("sessions/<str:session_id>/lock/", regions.lock, name="session-lock"),
    path("sessions/<str:session_id>/job/", regions.job, name="session-job"),
    path("sessions/<str:session_id>/rename/", session.rename, name="session-rename"),
    path("sessions/<str:session_id>/delete/", session.delete, name="session-delete"),
    # The instance itself
    path("setup/<str:key>/", setup.first_administrator, name="setup"),
    path("theme/", theme.choose, name="theme"),
    path("livez", health.live, name="livez"),
    path("readyz", health.ready, name="readyz"),
]
