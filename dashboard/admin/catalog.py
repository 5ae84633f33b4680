"""Projects and indexes as the catalog last read them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from dashboard.admin import shown
from dashboard.admin.filters import ChoiceFilter, TextFilter
from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.catalog.models import Index, Project


class PresenceFilter(ChoiceFilter):
    title = "presence"
    parameter_name = "presence"
    options = [("present", "At LlamaCloud"), ("gone", "No longer listed")]

    def narrowed(self, rows: Any, value: str) -> Any:
        """Those LlamaCloud lists, or no longer does."""
        return rows.present() if value == "present" else rows.exclude(gone_at=None)


class ProjectFilter(TextFilter):
    title = "project"
    parameter_name = "project"

    def narrowed(self, rows: Any, text: str) -> Any:
        """Those of the project with this id, or whose project's name holds the text."""
        return rows.filter(project=text) | rows.filter(project__name__icontains=text)


class CachedAdmin(ReadOnlyAdmin):
    """What mirrors an upstream object."""

    not_in_lists: tuple[str, ...] = ("raw",)

    @admin.display(description="name")
    def shown_name(self, row: Project | Index) -> SafeString:
        return shown.line(row.name)

    @admin.display(description="as LlamaCloud sent it")
    def verbatim(self, row: Project | Index) -> SafeString:
        return shown.verbatim(row.raw)


@admin.register(Project)
class ProjectAdmin(CachedAdmin):
    """Projects, each leading to its sessions."""

    list_display = ["shown_name", "id", "is_default", "synced_at", "gone_at"]
    list_filter = [PresenceFilter]
    search_fields = ["id", "name"]
    fields = [
        "id", "shown_name", "organization_id", "is_default", "sessions", "created_at", "updated_at", "synced_at",
        "gone_at", "verbatim",
    ]  # fmt: skip

    @admin.display(description="sessions")
    def sessions(self, project: Project) -> SafeString:
        return shown.link(shown.list_url("chatsession", project=project.pk), "Sessions in this project")


@admin.register(Index)
class IndexAdmin(CachedAdmin):
    """Indexes, each leading to the sessions over it."""

    list_display = ["shown_name", "id", "project_name", "readiness", "last_synced_at", "synced_at", "gone_at"]
    list_filter = [ProjectFilter, PresenceFilter]
    list_select_related = ["project"]
    search_fields = ["id", "name", "description"]
    not_in_lists = ("raw", "description", "project__raw")
    fields = [
        "id", "shown_name", "shown_description", "project_name", "readiness", "readiness_meaning", "status",
        "sync_in_progress", "sessions", "export_config_id", "created_at", "updated_at", "last_synced_at",
        "last_exported_at", "synced_at", "gone_at", "verbatim",
    ]  # fmt: skip

    @admin.display(description="description")
    def shown_description(self, index: Index) -> SafeString:
        return shown.lines(index.description)

    @admin.display(description="project")
    def project_name(self, index: Index) -> SafeString:
        return shown.link(shown.page_url("project", index.project_id), index.project.name)

    @admin.display(description="readiness")
    def readiness(self, index: Index) -> str:
        return str(index.readiness.label)

    @admin.display(description="which means")
    def readiness_meaning(self, index: Index) -> str:
        return index.readiness.explanation

    @admin.display(description="sessions")
    def sessions(self, index: Index) -> SafeString:
        return shown.link(shown.list_url("chatsession", source=index.pk), "Sessions over this source")
