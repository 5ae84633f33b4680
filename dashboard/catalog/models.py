"""Cached projects and indexes, and what an index's build state means for a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from dashboard.rows import find

MAX_WORDS = 10
"""Words of a search that count: each is a condition in the query."""
STALE_AFTER = timedelta(days=30)
"""A ready index whose documents were last read longer ago than this is called stale: told, never blocked."""


class Readiness(models.TextChoices):
    """Whether an index can answer. LlamaCloud has no plain flag (contract.md §5), so it is interpreted."""

    READY = "ready", "Ready"
    SYNCING = "syncing", "Still syncing"
    FAILED = "failed", "Last build failed"
    NEVER_BUILT = "never_built", "Never built"
    STALE = "stale", "Not updated lately"
    UNKNOWN = "unknown", "State unknown"

    @property
    def explanation(self) -> str:
        """What it means for the person's work, in a sentence."""
        return _EXPLANATIONS[self]

    @property
    def needs_confirmation(self) -> bool:
        """Whether choosing such an index needs a tick that is recorded."""
        return self in (Readiness.FAILED, Readiness.NEVER_BUILT)


_EXPLANATIONS = {
    Readiness.READY: "Its documents can be searched.",
    Readiness.SYNCING: "Documents are being read right now; the newest may be missing from answers.",
    Readiness.FAILED: "The last build did not finish, so answers may miss documents or find nothing.",
    Readiness.NEVER_BUILT: "No documents have been read yet, so there is nothing to answer from.",
    Readiness.STALE: "Its documents can be searched, but newer versions may not have been read yet.",
    Readiness.UNKNOWN: "LlamaCloud does not say whether it is ready; it usually is.",
}


class Cached(models.Model):
    """A row that mirrors an upstream object and knows its age."""

    raw = models.JSONField("as LlamaCloud sent it", default=dict)
    synced_at = models.DateTimeField()
    gone_at = models.DateTimeField("no longer at LlamaCloud since", null=True, blank=True)

    class Meta:
        abstract = True


class ProjectQuerySet(models.QuerySet["Project"]):
    """The words projects are asked for with."""

    def present(self) -> ProjectQuerySet:
        """Those LlamaCloud still lists."""
        return self.filter(gone_at=None)

    def offered(self) -> ProjectQuerySet:
        """Those a session can be created in: the default one, and every one that has indexes."""
        with_indexes = models.Exists(Index.objects.present().filter(project=models.OuterRef("pk")))
        return self.present().filter(models.Q(is_default=True) | with_indexes).order_by("-is_default", "name", "id")


class Project(Cached):
    """A LlamaCloud project (contract.md §4)."""

    id = models.CharField(primary_key=True, max_length=255)
    name = models.TextField()
    organization_id = models.CharField(max_length=255, blank=True)
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        app_label = "dashboard"
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class IndexQuerySet(models.QuerySet["Index"]):
    """The words indexes are asked for with."""

    def present(self) -> IndexQuerySet:
        """Those LlamaCloud still lists."""
        return self.filter(gone_at=None)

    def found_by(self, words: str, *, or_in: Iterable[str] = ()) -> IndexQuerySet:
        """Those with every one of these words in name or description, and in any case the ones in ``or_in``."""
        match = models.Q()
        for word in words.split()[:MAX_WORDS]:
            match &= models.Q(name__icontains=word) | models.Q(description__icontains=word)
        return self.filter(match | models.Q(pk__in=list(or_in))) if match else self


class Index(Cached):
    """A LlamaCloud document index, V2 (contract.md §5); people call it a document source."""

    id = models.CharField(primary_key=True, max_length=255)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="indexes")
    name = models.TextField()
    description = models.TextField(blank=True)
    export_config_id = models.CharField(max_length=255, blank=True, db_index=True)
    status = models.CharField(max_length=64, blank=True)
    sync_in_progress = models.BooleanField(null=True)
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)
    last_synced_at = models.DateTimeField(null=True)
    last_exported_at = models.DateTimeField(null=True)

    objects = IndexQuerySet.as_manager()

    class Meta:
        app_label = "dashboard"
        ordering = ["name", "id"]
        verbose_name_plural = "indexes"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def named(cls, index_ids: Iterable[str]) -> dict[str, Index]:
        """The indexes with these ids, by id, without their verbatim JSON; gone ones included."""
        return {index.pk: index for index in find(cls, "id", index_ids, without="raw")}

    @classmethod
    def named_by_either(cls, ids: Collection[str]) -> dict[str, Index]:
        """The same by the other of their two ids too, which tools are told (contract.md §5)."""
        others = [] if not ids else find(cls, "export_config_id", ids, without="raw")
        return {index.export_config_id: index for index in others} | cls.named(ids)

    @property
    def documents_at(self) -> datetime | None:
        """When its documents were last read; ``None`` if never or not told."""
        return self.last_exported_at or self.last_synced_at

    @property
    def readiness(self) -> Readiness:
        """The build state as people need it (contract.md §5: only ``ready`` and ``failed`` are stable words)."""
        if self.sync_in_progress:
            return Readiness.SYNCING
        if self.status == "failed":
            return Readiness.FAILED
        if self.status == "ready":
            return Readiness.STALE if self._is_behind() else Readiness.READY
        if self.documents_at is None:
            return Readiness.SYNCING if self.status else Readiness.NEVER_BUILT
        return Readiness.UNKNOWN

    def _is_behind(self) -> bool:
        if self.documents_at is None:
            return False
        synced_later = bool(
            self.last_synced_at and self.last_exported_at and self.last_synced_at - self.last_exported_at > _EXPORT_LAG
        )
        return synced_later or timezone.now() - self.documents_at > STALE_AFTER


_EXPORT_LAG = timedelta(hours=1)
"""An export normally follows its sync within minutes; later than this, the newest documents are not searchable."""
