"""The embedded server answers as LlamaCloud's own OpenAPI document says, for valid and for broken requests.

The document is not part of this repository. ``LLAMACLOUD_OPENAPI`` names it; without it the tests skip, unless
``CORRAL_REQUIRE`` holds the word ``openapi``.
"""

from __future__ import annotations

import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation.modes import GenerationMode

from dashboard.localcloud.projects import PROJECT
from tests.localcloud.fixtures import RunningLocalcloud

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = Path(os.environ.get("LLAMACLOUD_OPENAPI") or ROOT.parent / "shared" / "llamacloud-openapi.yaml")
if not DOCUMENT.is_file():
    if "openapi" in re.split(r"[\s,]+", os.environ.get("CORRAL_REQUIRE", "")):
        pytest.fail(f"CORRAL_REQUIRE demands LlamaCloud's OpenAPI document, and {DOCUMENT} is not there", pytrace=False)
    pytest.skip(f"LlamaCloud's OpenAPI document is not there: {DOCUMENT}", allow_module_level=True)

NOT_SERVED = {
    ("post", "/api/v1/retrieval/retrieve"): "§9: retrieval is not part of chat; the dashboard never calls it",
    ("post", "/api/v1/retrieval/files/find"): "§9: as above",
    ("post", "/api/v1/retrieval/files/grep"): "§9: as above",
    ("post", "/api/v1/retrieval/files/read"): "§9: as above",
    ("post", "/api/v1/indexes"): "§5: an index is a folder on this machine; it is made there",
    ("delete", "/api/v1/indexes/{index_id}"): "§5: as above",
}
"""Operations of the document this server does not have, each with contract.md's section. It answers 404 or 405."""

MORE_STATUSES = {
    "400": "§3: a page token of another list or database",
    "401": "§2: the document declares no authentication failure",
    "404": "§2: the document declares no unknown id",
    "409": "§6: another set than the bound one, or a turn is running",
}
"""Answers the document does not declare; each carries ``{"detail": "<text>"}``."""

STREAM = "/api/v1/chat/{session_id}/messages/stream"
OTHER_DEVIATIONS = {
    "the stream's 200 is text/event-stream": "§7 Framing: the document declares an untyped JSON answer",
    "an empty prompt is refused": "§7: passes the document's schema; refused with 422 here",
    "page_size below 1 is refused": "§3: no minimum declared; refused with 422 here",
    "shared_access is sent and accepted": "§6: newer than the document",
    "require_all_indexes and skipped_index_ids exist": "§7: newer than the document",
    "sync_in_progress and expand exist": "§5: newer than the document",
}


def amended() -> dict[str, Any]:
    """The vendor's document with the deviations above written into it, and nothing else."""
    document: dict[str, Any] = deepcopy(yaml.safe_load(DOCUMENT.read_text()))
    for method, path in NOT_SERVED:
        del document["paths"][path][method]
    document["paths"] = {path: operations for path, operations in document["paths"].items() if operations}
    kinds = document["components"]["schemas"]["SessionDetail"]["properties"]["events"]["items"]
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": kinds}
    event = {"type": "object", "required": ["event", "data"], "properties": {"event": {"type": "string"}, "data": data}}
    detail = {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, reason in MORE_STATUSES.items():
                answer = {"description": reason, "content": {"application/json": {"schema": detail}}}
                operation["responses"][status] = answer
            for parameter in operation["parameters"]:
                if parameter["name"] == "page_size":
                    parameter["schema"]["anyOf"][0]["minimum"] = 1
        if path == STREAM:
            operations["post"]["responses"]["200"]["content"] = {"text/event-stream": {"schema": event}}
    document["components"]["schemas"]["ChatParams"]["properties"]["prompt"]["minLength"] = 1
    document["components"]["schemas"]["ChatParams"]["properties"]["require_all_indexes"] = {"type": "boolean"}
    access = {"anyOf": [{"type": "string", "enum": ["query", "read_only"]}, {"type": "null"}]}
    document["components"]["schemas"]["SessionCreate"]["properties"]["shared_access"] = access
    return document


# Unknown query parameters are ignored (§11.1), and the key is sent by the test; both would only hide other findings.
GENERATION = GenerationConfig(allow_extra_parameters=False, with_security_parameters=False)
CONFIG = SchemathesisConfig(seed=20260422, projects=ProjectsConfig(default=ProjectConfig(generation=GENERATION)))
schema = schemathesis.openapi.from_dict(amended(), config=CONFIG)


def ask(server: RunningLocalcloud, session_id: str, index: str) -> None:
    """Have a question answered, so that the session's history holds every kind of event."""
    body = {"index_ids": [index], "prompt": "When are roses pruned?"}
    server.call("POST", f"/api/v1/chat/{session_id}/messages/stream", json=body)


def make_real(case: schemathesis.Case[Any], server: RunningLocalcloud) -> None:
    """Point a valid request at things that exist; invented ids would only ever meet 404."""
    index = server.index_ids()["Garden notes"]
    for name in ("project_id", "organization_id"):
        if case.query.get(name):
            case.query[name] = PROJECT["id" if name == "project_id" else name]
    if "project_id" in case.path_parameters:
        case.path_parameters["project_id"] = PROJECT["id"]
    if "index_id" in case.path_parameters:
        case.path_parameters["index_id"] = index
    if "session_id" in case.path_parameters:
        case.path_parameters["session_id"] = server.call("POST", "/api/v1/chat", json={}).json()["session_id"]
        if case.operation.method == "get":
            ask(server, case.path_parameters["session_id"], index)
    if case.query.get("page_token"):
        del case.query["page_token"]
    if isinstance(case.body, dict) and case.body.get("index_ids"):
        case.body["index_ids"] = [index]


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_localcloud_answers_as_the_vendor_says(case: schemathesis.Case[Any], localcloud: RunningLocalcloud) -> None:
    meta = case.meta
    if meta is not None and meta.generation.mode is GenerationMode.POSITIVE:
        make_real(case, localcloud)
    case.call_and_validate(base_url=localcloud.base_url, headers={"Authorization": f"Bearer {localcloud.api_key}"})


@pytest.mark.parametrize(("method", "path"), NOT_SERVED)
def test_what_is_not_served_says_so_in_json(method: str, path: str, localcloud: RunningLocalcloud) -> None:
    answer = localcloud.call(method.upper(), path.replace("{index_id}", localcloud.index_ids()["Garden notes"]))
    assert answer.status_code in (404, 405)
    assert isinstance(answer.json()["detail"], str)
