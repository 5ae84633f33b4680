"""The one project this server holds (contract.md §4)."""

from __future__ import annotations

import uuid
from typing import Any

from dashboard.localcloud.http import Request, Response, not_found, read_uuid
from dashboard.localcloud.paging import Pager

_HOUSE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:corral:localcloud")
PROJECT: dict[str, Any] = {
    "id": str(uuid.uuid5(_HOUSE, "project")),
    "name": "Demo",
    "organization_id": str(uuid.uuid5(_HOUSE, "organization")),
    "is_default": True,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": None,
}
"""Its ids never change, so a configured project id survives a fresh database."""


def check_tenant(request: Request) -> None:
    """Accept ``project_id`` and ``organization_id`` where they are ours; 404 otherwise, 422 when they are no UUID."""
    for name, own in (("project_id", PROJECT["id"]), ("organization_id", PROJECT["organization_id"])):
        if request.uuid(name) not in (None, own):
            raise not_found("Project" if name == "project_id" else "Organization")


class Projects:
    """Answers the project calls, v1 and v2."""

    def __init__(self, pager: Pager) -> None:
        self._pager = pager

    def list_v1(self, request: Request) -> Response:
        """A bare array, filtered by ``project_name`` and ``organization_id``."""
        found = self._found(request.uuid("organization_id"), request.text("project_name"))
        return Response(payload=found)

    def list_v2(self, request: Request) -> Response:
        """A cursor page, filtered by ``name`` and ``organization_id`` (a plain string here)."""
        found = self._found(request.text("organization_id"), request.text("name"))
        page = self._pager.page(request, "projects", lambda after, size: [([0], p) for p in found if after is None])
        return Response(payload={**page, "total_size": None})

    def get(self, request: Request, project_id: str) -> Response:
        """One project, the same fields in both versions."""
        organization = request.uuid("organization_id")
        if read_uuid(project_id, ("path", "project_id")) != PROJECT["id"]:
            raise not_found("Project")
        if organization not in (None, PROJECT["organization_id"]):
            raise not_found("Project")
        return Response(payload=PROJECT)

    @staticmethod
    def _found(organization: str | None, name: str | None) -> list[dict[str, Any]]:
        ours = organization in (None, PROJECT["organization_id"]) and name in (None, PROJECT["name"])
        return [PROJECT] if ours else []
