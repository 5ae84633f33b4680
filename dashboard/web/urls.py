"""Every address of the dashboard; people bookmark and script these."""

from __future__ import annotations

from django.urls import path, register_converter
from django.views.generic import RedirectView

from dashboard.web.addresses import SessionIdConverter
from dashboard.web.views import health, new, regions, session, sessions, setup, theme, turns

register_converter(SessionIdConverter, "session")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="session-list"), name="home"),
    path("sessions/", sessions.index, name="session-list"),
    path("sessions/refresh/", sessions.refresh, name="session-refresh"),
    path("sessions/new/", new.create, name="session-new"),
    # /sessions/<session_id>/ …
    path("sessions/<session:session_id>/", session.detail, name="session-detail"),
    path("sessions/<session:session_id>/lock/", regions.lock, name="session-lock"),
    path("sessions/<session:session_id>/job/", regions.job, name="session-job"),
    path("sessions/<session:session_id>/rename/", session.rename, name="session-rename"),
    path("sessions/<session:session_id>/delete/", session.delete, name="session-delete"),
    # /sessions/<session_id>/turns/ …
    path("sessions/<session:session_id>/turns/", turns.ask_question, name="turn-ask"),
    path("sessions/<session:session_id>/turns/older/", turns.older, name="turn-older"),
    path("sessions/<session:session_id>/turns/newer/", turns.newer, name="turn-newer"),
    path("sessions/<session:session_id>/turns/<int:number>/", turns.show, name="turn"),
    path("sessions/<session:session_id>/turns/<int:number>/state/", turns.state, name="turn-state"),
    path("sessions/<session:session_id>/turns/<int:number>/events/", turns.events, name="turn-events"),
    path("sessions/<session:session_id>/turns/<int:number>/stop/", turns.stop_answer, name="turn-stop"),
    path("sessions/<session:session_id>/turns/<int:number>/steps/", turns.steps, name="turn-steps"),
    path("sessions/<session:session_id>/turns/<int:number>/more/", turns.more, name="turn-more"),
    path("sessions/<session:session_id>/turns/<int:number>/images/<int:place>/", turns.image, name="turn-image"),
    # The instance itself
    path("setup/<str:key>/", setup.first_administrator, name="setup"),
    path("theme/", theme.choose, name="theme"),
    path("livez", health.live, name="livez"),
    path("readyz", health.ready, name="readyz"),
]
