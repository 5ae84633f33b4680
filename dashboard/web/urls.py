"""Every address of the dashboard; people bookmark and script these."""

from __future__ import annotations

from django.urls import include, path, register_converter
from django.views.generic import RedirectView

from dashboard.web.addresses import SessionIdConverter
from dashboard.web.views import asking, health, new, regions, session, sessions, setup, theme, turns

register_converter(SessionIdConverter, "session")

# /sessions/<session_id>/turns/ …
of_turns = [
    path("", asking.ask_question, name="turn-ask"),
    path("older/", turns.older, name="turn-older"),
    path("newer/", turns.newer, name="turn-newer"),
    path("<int:number>/", turns.show, name="turn"),
    path("<int:number>/state/", turns.state, name="turn-state"),
    path("<int:number>/events/", turns.events, name="turn-events"),
    path("<int:number>/stop/", asking.stop_answer, name="turn-stop"),
    path("<int:number>/steps/", turns.steps, name="turn-steps"),
    path("<int:number>/more/", turns.more, name="turn-more"),
    path("<int:number>/images/<int:place>/", turns.image, name="turn-image"),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="session-list"), name="home"),
    path("sessions/", sessions.index, name="session-list"),
    path("sessions/refresh/", sessions.refresh, name="session-refresh"),
    path("sessions/new/", new.create, name="session-new"),
    path("sessions/<session:session_id>/turns/", include(of_turns)),
    # /sessions/<session_id>/ …
    path("sessions/<session:session_id>/", session.detail, name="session-detail"),
    path("sessions/<session:session_id>/lock/", regions.lock, name="session-lock"),
    path("sessions/<session:session_id>/job/", regions.job, name="session-job"),
    path("sessions/<session:session_id>/rename/", session.rename, name="session-rename"),
    path("sessions/<session:session_id>/delete/", session.delete, name="session-delete"),
    # The instance itself
    path("setup/<str:key>/", setup.first_administrator, name="setup"),
    path("theme/", theme.choose, name="theme"),
    path("livez", health.live, name="livez"),
    path("readyz", health.ready, name="readyz"),
]
