"""Bringing projects and indexes up to date with LlamaCloud."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.catalog.models import Index, Project

EXPANDED_READS = 10
"""Indexes whose build state is unclear and which are asked for ``sync_in_progress`` one by one in a refresh."""


@dataclass(frozen=True)
class CatalogRefresh:
    """What a refresh achieved; an incomplete one never marks anything as gone."""

    projects: int
    indexes: int
    complete: bool
    why: str = ""


def refresh_catalog(client: upstream.LlamaCloud, *, budget: float = 20.0) -> CatalogRefresh:
    """Read all projects and their indexes and keep them.

    Args:
        client: the connection to LlamaCloud.
        budget: seconds for the whole refresh; when they run out, what was read is kept and the refresh is incomplete.

    Returns:
        the counts, and whether everything was read.

    Raises:
        upstream.UpstreamError: the very first answer failed, so nothing is known.
    """
    ends = time.monotonic() + budget
    projects, whole = _read_projects(client)
    _store_projects(projects, whole=whole)
    count, problems, refused = 0, list[str](), list[tuple[upstream.Project, upstream.UpstreamError]]()
    for project in projects:
        if time.monotonic() >= ends:
            problems.append("The time for one refresh ran out.")
            break
        try:
            found, problem = _refresh_project(client, project, ends)
        except (upstream.AccessRefused, upstream.NotFound) as error:
            refused.append((project, error))
            continue
        except upstream.UpstreamError as error:
            # What the other projects have is still worth reading.
            found, problem = 0, error.sentence
        count += found
        problems += [problem] if problem else []
    problems += _settle_refused(refused, all_of_them=len(refused) == len(projects))
    return CatalogRefresh(len(projects), count, not problems, problems[0] if problems else "")


def _refresh_project(client: upstream.LlamaCloud, project: upstream.Project, ends: float) -> tuple[int, str]:
    """Read and keep one project's indexes; answer how many, and in words why these are not all (else ``""``)."""
    asked_at = timezone.now()
    listing = client.indexes(project_id=project.id, deadline=ends - time.monotonic())
    items = [_with_sync_state(client, item, project, ends) for item in _unclear_first(listing.items)]
    _store_indexes(project, items, complete=listing.complete, now=asked_at)
    return len(items), listing.why


def _settle_refused(refused: list[tuple[upstream.Project, upstream.UpstreamError]], *, all_of_them: bool) -> list[str]:
    """Projects whose indexes the key may not see.

    A key is good for one project only, yet may be told of others (contract.md §1): those have no sources. When it may
    see none at all, that is a problem to tell, and what was known stays.
    """
    if all_of_them:
        return [error.sentence for _, error in refused]
    for project, _ in refused:
        _store_indexes(project, [], complete=True, now=timezone.now())
    return []


def _read_projects(client: upstream.LlamaCloud) -> tuple[list[upstream.Project], bool]:
    """The projects this instance works in, and whether the answer tells of all of them."""
    if client.project_id:
        return [client.project(client.project_id)], True
    try:
        listing = client.projects()
    except (upstream.AccessRefused, upstream.NotFound, upstream.Invalid):
        listing = client.projects_v2()
    return list(listing.items), listing.complete


def _unclear_first(items: tuple[upstream.Index, ...]) -> list[tuple[upstream.Index, bool]]:
    """Pair each index with whether to ask for its sync state: a list never tells it (contract.md §5)."""
    unclear = [item.id for item in items if item.status not in ("ready", "failed")][:EXPANDED_READS]
    return [(item, item.id in unclear) for item in items]


def _with_sync_state(
    client: upstream.LlamaCloud, pair: tuple[upstream.Index, bool], project: upstream.Project, ends: float
) -> upstream.Index:
    item, unclear = pair
    if unclear and time.monotonic() < ends:
        try:
            return client.index(item.id, project_id=project.id, expand_sync=True)
        except upstream.UpstreamError:
            # Older deployments lack ``expand`` (contract.md §14.15); the listed state is still worth keeping.
            return item
    return item


def _store_projects(projects: list[upstream.Project], *, whole: bool) -> None:
    now = timezone.now()
    rows = [
        Project(
            id=item.id,
            name=item.name,
            organization_id=(item.organization_id or "")[:255],
            is_default=item.is_default,
            created_at=item.created_at,
            updated_at=item.updated_at,
            raw=item.raw,
            synced_at=now,
        )
        for item in projects
    ]
    with transaction.atomic():
        _upsert(Project, rows)
        if whole:
            Project.objects.present().filter(synced_at__lt=now).update(gone_at=now)
            Index.objects.present().filter(project__gone_at__isnull=False).update(gone_at=now)


def index_columns(item: upstream.Index) -> dict[str, Any]:
    """The one mapping from LlamaCloud's index to our columns."""
    return {
        "name": item.name,
        "description": item.description or "",
        "export_config_id": (item.export_config_id or "")[:255],
        "status": (item.status or "")[:64],
        "sync_in_progress": item.sync_in_progress,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
        "last_synced_at": item.last_synced_at,
        "last_exported_at": item.last_exported_at,
        "raw": item.raw,
    }


def _store_indexes(project: upstream.Project, items: list[upstream.Index], *, complete: bool, now: datetime) -> None:
    rows = [Index(id=item.id, project_id=project.id, synced_at=now, **index_columns(item)) for item in items]
    with transaction.atomic():
        _upsert(Index, rows)
        if complete:
            Index.objects.present().filter(project_id=project.id, synced_at__lt=now).update(gone_at=now)


def refresh_indexes(client: upstream.LlamaCloud, index_ids: list[str]) -> None:
    """Ask for these few indexes one by one, with their sync state; one that cannot be read keeps what was known.

    Args:
        client: the connection to LlamaCloud.
        index_ids: at most the ten of one session.

    Raises:
        upstream.UpstreamError: LlamaCloud could not be reached or refused the key.
    """
    for known in Index.objects.filter(pk__in=index_ids).only("pk", "project_id"):
        try:
            item = client.index(known.pk, project_id=known.project_id, expand_sync=True)
        except upstream.NotFound:
            Index.objects.filter(pk=known.pk, gone_at=None).update(gone_at=timezone.now())
            continue
        Index.objects.filter(pk=known.pk).update(**index_columns(item), synced_at=timezone.now(), gone_at=None)


def _upsert(model: type[Project] | type[Index], rows: list[Any]) -> None:
    """Insert or overwrite; a row that is seen again is no longer gone."""
    fields = [field.name for field in model._meta.concrete_fields if not field.primary_key]
    model._default_manager.bulk_create(
        rows, update_conflicts=True, unique_fields=["id"], update_fields=fields, batch_size=200
    )
