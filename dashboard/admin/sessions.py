"""Sessions: what LlamaCloud said of them, who made them, what they are bound to and how they ran."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard.admin import shown
from dashboard.admin.filters import NOBODY, ChoiceFilter, DateFilter, PersonFilter, TextFilter, people_called
from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.admin.sources import SourceFilter, index_link, with_index_name
from dashboard.audit.actions import AuditAction
from dashboard.audit.trail import Origin, record
from dashboard.catalog.models import Project
from dashboard.chats.filters import ChatSessionQuerySet
from dashboard.chats.models import ChatSession, CreationAttempt, LockState, RunState, SessionSource
from dashboard.templatetags.wording import NOTHING, duration, grouped

SOURCES_SHOWN = 3


class OwnerFilter(PersonFilter):
    title = "owner"
    parameter_name = "owner"
    shortcut = (NOBODY, "Not created here")

    def narrowed(self, rows: ChatSessionQuerySet, text: str) -> Any:
        """Those the people called so created."""
        return rows.unowned() if text == NOBODY else rows.owned_by(people_called(text))


class LockFilter(ChoiceFilter):
    title = "lock state"
    parameter_name = "lock"
    options = [*LockState.choices, ("present", "Any but deleted")]

    def narrowed(self, rows: ChatSessionQuerySet, value: str) -> Any:
        """Those in that state."""
        return rows.present() if value == "present" else rows.in_lock_state(LockState(value))


class RunFilter(ChoiceFilter):
    title = "last run"
    parameter_name = "run"
    options = RunState.choices

    def narrowed(self, rows: ChatSessionQuerySet, value: str) -> Any:
        """Those whose last run is in that state."""
        return rows.in_run_state(RunState(value))


class ErrorFilter(TextFilter):
    title = "error"
    parameter_name = "error"
    hint = "Words of the message"

    def narrowed(self, rows: ChatSessionQuerySet, text: str) -> Any:
        """Those that failed with these words."""
        return rows.failed_with(text)


class ProjectFilter(TextFilter):
    title = "project"
    parameter_name = "project"

    def narrowed(self, rows: ChatSessionQuerySet, text: str) -> Any:
        """Those of the project with this id, and of every one whose name holds the text."""
        named = Project.objects.filter(name__icontains=text).values_list("pk", flat=True)
        return rows.in_projects([text, *named])


class ActivityFilter(DateFilter):
    title = "last activity"
    column = "last_updated_at"


@admin.register(ChatSession)
class SessionAdmin(ReadOnlyAdmin):
    """The list an audit starts from, and everything known of one session."""

    list_display = [
        "shown_title", "last_updated_at", "owner", "sources", "lock", "run", "shown_questions", "shown_id",
    ]  # fmt: skip
    list_filter = [OwnerFilter, SourceFilter, LockFilter, RunFilter, ErrorFilter, ActivityFilter, ProjectFilter]
    list_select_related = ["owner"]
    sortable_by = ["last_updated_at"]
    search_fields = ["session_id", "title", "generated_title"]
    search_help_text = "The beginning of a session’s ID, or words of its title"
    not_in_lists = ("raw", "job_export_config_ids", "job_error", "owner__password")
    audit_type = "session"
    fieldsets = [
        (None, {"fields": ["shown_id", "shown_title", "title_given_here", "title_generated", "owner", "project"]}),
        ("Sources", {"fields": ["bound_to", "lock", "lock_meaning", "is_bound", "shared_access", "predecessor"]}),
        (
            "Last run",
            {
                "fields": [
                    "run", "error", "shown_questions", "job_turns", "shown_duration",
                    "input_tokens", "output_tokens", "exports",
                ]
            },
        ),
        ("Record", {"fields": ["creation", "last_updated_at", "first_seen_at", "synced_at", "gone_at"]}),
        ("As LlamaCloud sent it", {"fields": ["verbatim"], "classes": ["collapse"]}),
    ]  # fmt: skip

    def for_list(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Without the JSON, and with the sources' names in one more query."""
        named = with_index_name(SessionSource.objects.order_by("position"))
        return super().for_list(rows).prefetch_related(Prefetch("sources", queryset=named))

    def found_by(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """By the beginning of an id, else by title."""
        assert isinstance(rows, ChatSessionQuerySet)  # noqa: S101  # this noun's own
        return rows.found_by(term)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Record who looked: here nothing else can be done to a session."""
        origin: Origin = request.origin  # type: ignore[attr-defined]  # from RequestContextMiddleware
        user: Any = request.user
        record(AuditAction.SESSION_VIEWED, actor=user, origin=origin, subject=context["original"], via="admin")
        return super().render_change_form(request, context, *args, **kwargs)

    def view_on_site(self, session: ChatSession) -> str:
        """The dashboard's own page."""
        return reverse("session-detail", args=[session.session_id])

    @admin.display(description="session ID")
    def shown_id(self, session: ChatSession) -> SafeString:
        return shown.line(session.session_id, 255)

    @admin.display(description="title")
    def shown_title(self, session: ChatSession) -> SafeString:
        return shown.line(session.display_title)

    @admin.display(description="title given here")
    def title_given_here(self, session: ChatSession) -> SafeString:
        return shown.lines(session.title)

    @admin.display(description="title LlamaCloud generated")
    def title_generated(self, session: ChatSession) -> SafeString:
        return shown.lines(session.generated_title)

    @admin.display(description="sources")
    def sources(self, session: ChatSession) -> SafeString:
        chosen: list[Any] = list(session.sources.all())
        names = [shown.line(source.index_name or source.index_id, 40) for source in chosen[:SOURCES_SHOWN]]
        more = len(chosen) - SOURCES_SHOWN
        return format_html(", ".join(["{}"] * len(names)) + (" and {}" if more > 0 else ""), *names, f"{more} more")

    @admin.display(description="bound to")
    def bound_to(self, session: ChatSession) -> SafeString | str:
        """Every source, in LlamaCloud's order."""
        named = with_index_name(session.sources.order_by("position"))
        rows = ((index_link(row), shown.line(row.index_id, 255)) for row in named)
        items = format_html_join("", "<li>{} ({})</li>", rows)
        return format_html('<ol class="facts">{}</ol>', items) if items else ""

    @admin.display(description="lock")
    def lock(self, session: ChatSession) -> str:
        return str(session.lock_state.label)

    @admin.display(description="which means")
    def lock_meaning(self, session: ChatSession) -> str:
        return session.lock_state.explanation

    @admin.display(description="last run")
    def run(self, session: ChatSession) -> str:
        return str(session.run_state.label)

    @admin.display(description="error")
    def error(self, session: ChatSession) -> SafeString:
        return shown.lines(session.job_error)

    @admin.display(description="questions")
    def shown_questions(self, session: ChatSession) -> str:
        return grouped(session.questions)

    @admin.display(description="duration")
    def shown_duration(self, session: ChatSession) -> str:
        return duration(session.job_duration_ms)

    @admin.display(description="input tokens")
    def input_tokens(self, session: ChatSession) -> str:
        return grouped(session.job_input_tokens)

    @admin.display(description="output tokens")
    def output_tokens(self, session: ChatSession) -> str:
        return grouped(session.job_output_tokens)

    @admin.display(description="export configurations")
    def exports(self, session: ChatSession) -> SafeString:
        return shown.line(", ".join(map(str, session.job_export_config_ids or [])), shown.ON_A_PAGE)

    @admin.display(description="project")
    def project(self, session: ChatSession) -> SafeString | str:
        project = Project.objects.filter(pk=session.project_id).only("name").first()
        return shown.link(shown.page_url("project", project.pk), project.name) if project else session.project_id

    @admin.display(description="successor of")
    def predecessor(self, session: ChatSession) -> SafeString | str:
        if session.follows is None:
            return NOTHING
        return shown.link(shown.page_url("chatsession", session.follows.pk), session.follows.display_title)

    @admin.display(description="creation attempt")
    def creation(self, session: ChatSession) -> SafeString | str:
        attempt = CreationAttempt.objects.filter(session=session).first()
        return shown.link(shown.page_url("creationattempt", attempt.pk), attempt) if attempt else "Not created here"

    @admin.display(description="summary")
    def verbatim(self, session: ChatSession) -> SafeString:
        return shown.verbatim(session.raw)
