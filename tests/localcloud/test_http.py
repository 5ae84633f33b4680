"""What every call has in common: keys, unknown paths, methods, bodies, pages, tenants (contract.md §1–§3)."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from dashboard.localcloud import http as wire
from dashboard.localcloud.http import MAX_BODY_BYTES
from tests.localcloud.fixtures import RunningLocalcloud, StartLocalcloud

NIL = "00000000-0000-4000-8000-000000000000"


def raw(server: RunningLocalcloud, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """A request that no client library tidies up."""
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        given = {"Authorization": f"Bearer {server.api_key}", "Content-Length": str(len(body)), **headers}
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, "Not authenticated"),
        ("", "Not authenticated"),
        ("Bearer ", "Not authenticated"),
        ("Basic bGxhOmNsb3Vk", "Not authenticated"),
        ("Bearer llx-wrong", "Invalid authentication token"),
        ("Bearer kéy", "Invalid authentication token"),
    ],
)
def test_no_key_no_answer(header: str | None, detail: str, localcloud: RunningLocalcloud) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = requests.get(f"{localcloud.base_url}/api/v1/chat", headers=headers, timeout=10)
    assert answer.status_code == 401
    assert answer.json() == {"detail": detail}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/", "/api/", "/api/v1/chat/", "/api/v3/chat", "/api/v1/chat/a/b", "/api/v1/chat/a/"])
def test_an_unknown_path_is_not_redirected(path: str, localcloud: RunningLocalcloud) -> None:
    answer = localcloud.call("POST", path, json={}, allow_redirects=False)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_an_unknown_method_is_told_what_is_allowed(method: str, localcloud: RunningLocalcloud) -> None:
    answer = localcloud.call(method, "/api/v1/chat")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("prefix", ["", "/embedded", "/a/b", "/%C3%A9"])
def test_a_base_path_is_accepted(prefix: str, localcloud: RunningLocalcloud) -> None:
    assert localcloud.call("GET", f"{prefix}/api/v1/projects").json()[0]["name"] == "Demo"


def test_answers_are_not_stored(localcloud: RunningLocalcloud) -> None:
    answer = localcloud.call("GET", "/api/v1/chat")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"index_ids": NaN}',
        b"[" * 100_000,
        b"1" * 5000,
        b"[]",
        b'"text"',
        b"null",
        b'{"index_ids": "idx-1"}',
        b'{"index_ids": [1]}',
        b'{"index_ids": ["\\ud800"]}',
        b'{"shared_access": "everyone"}',
        json.dumps({"index_ids": ["idx-1"] * 11}).encode(),
    ],
)
def test_a_wrong_body_is_explained(body: bytes, localcloud: RunningLocalcloud) -> None:
    status, answer = raw(localcloud, "POST", "/api/v1/chat", body)
    assert status == 422
    for problem in answer["detail"]:
        assert problem["loc"][0] == "body"
        assert problem["msg"]
        assert problem["type"]
    assert localcloud.call("GET", "/api/v1/chat").json()["items"] == []


def test_a_create_without_any_body_is_unbound(localcloud: RunningLocalcloud) -> None:
    assert localcloud.call("POST", "/api/v1/chat").json()["index_ids"] is None
    assert localcloud.call("POST", "/api/v1/chat", json={"index_ids": []}).json()["index_ids"] is None


def environ_of(server: RunningLocalcloud, body: bytes, **more: Any) -> dict[str, Any]:
    """What a web server hands over for a create call."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/v1/chat",
        "HTTP_AUTHORIZATION": f"Bearer {server.api_key}",
        "wsgi.input": io.BytesIO(body),
        **more,
    }


def answer_to(server: RunningLocalcloud, environ: dict[str, Any]) -> tuple[int, Any]:
    """Status and JSON of the application's own answer."""
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        statuses.append(status)
        return statuses.append  # type: ignore[return-value]

    body = b"".join(server.app(environ, start_response))
    return int(statuses[0][:3]), json.loads(body)


@pytest.mark.parametrize(("size", "claimed"), [(MAX_BODY_BYTES + 1, MAX_BODY_BYTES + 1), (10, 99_999_999_999)])
def test_a_huge_body_is_refused(size: int, claimed: int, localcloud: RunningLocalcloud) -> None:
    environ = environ_of(localcloud, b" " * size, CONTENT_LENGTH=str(claimed))
    status, answer = answer_to(localcloud, environ)
    assert status == 413
    assert "larger than" in answer["detail"]


def test_a_body_without_a_length_is_read_only_when_it_ends(localcloud: RunningLocalcloud) -> None:
    body = b'{"shared_access": "query"}'
    status, answer = answer_to(localcloud, environ_of(localcloud, body, **{"wsgi.input_terminated": True}))
    assert (status, answer["shared_access"]) == (201, "query")
    status, answer = answer_to(localcloud, environ_of(localcloud, body))
    assert (status, answer["shared_access"]) == (201, "read_only")


@pytest.mark.parametrize("value", ["0", "-1", "-99999999999999999999", "ten", "", "1.5", "1_0", "1e3"])
@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/indexes", "/api/v2/projects"])
def test_a_page_size_must_be_a_positive_number(path: str, value: str, localcloud: RunningLocalcloud) -> None:
    answer = localcloud.call("GET", path, params={"page_size": value})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "page_size"]


def test_a_large_page_size_is_coerced(localcloud: RunningLocalcloud) -> None:
    for _ in range(3):
        localcloud.call("POST", "/api/v1/chat", json={})
    answer = localcloud.call("GET", "/api/v1/chat", params={"page_size": "9" * 30})
    assert len(answer.json()["items"]) == 3


def test_no_promised_page_is_empty(localcloud: RunningLocalcloud) -> None:
    for _ in range(4):
        localcloud.call("POST", "/api/v1/chat", json={})
    first = localcloud.call("GET", "/api/v1/chat?page_size=2").json()
    second = localcloud.call("GET", "/api/v1/chat", params={"page_size": 2, "page_token": first["next_page_token"]})
    assert len(second.json()["items"]) == 2
    assert second.json()["next_page_token"] is None


def test_a_token_of_another_list_or_database_is_refused(
    localcloud: RunningLocalcloud, start_localcloud: StartLocalcloud
) -> None:
    other = start_localcloud()
    token = localcloud.call("GET", "/api/v1/indexes?page_size=1").json()["next_page_token"]
    for server, path, given in [
        (localcloud, "/api/v1/chat", token),
        (localcloud, "/api/v1/indexes?source_directory_id=dir-1", token),
        (other, "/api/v1/indexes", token),
        (localcloud, "/api/v1/indexes", token[:-2]),
        (localcloud, "/api/v1/indexes", "é"),
        (localcloud, "/api/v1/indexes", "A"),
    ]:
        answer = server.call("GET", path, params={"page_token": given})
        assert (answer.status_code, answer.json()) == (400, {"detail": "Invalid page token"})
    assert localcloud.call("GET", "/api/v1/indexes", params={"page_token": token}).status_code == 200
    assert localcloud.call("GET", "/api/v1/indexes", params={"page_token": ""}).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/indexes", "/api/v1/beta/attachments?source_id=dfl-1"])
def test_another_project_is_unknown(path: str, localcloud: RunningLocalcloud) -> None:
    own = localcloud.call("GET", "/api/v1/projects").json()[0]
    ids = {"project_id": own["id"].upper(), "organization_id": own["organization_id"]}
    assert localcloud.call("GET", path, params=ids).json().get("detail") in (None, "File not found")
    for name, what in (("project_id", "Project"), ("organization_id", "Organization")):
        answer = localcloud.call("GET", path, params={**ids, name: NIL})
        assert (answer.status_code, answer.json()) == (404, {"detail": f"{what} not found"})
        assert localcloud.call("GET", path, params={**ids, name: "mine"}).status_code == 422


def test_a_project_of_another_organization_is_unknown(localcloud: RunningLocalcloud) -> None:
    own = localcloud.call("GET", "/api/v1/projects").json()[0]
    for version in ("v1", "v2"):
        assert localcloud.call("GET", f"/api/{version}/projects/{own['id']}?organization_id={NIL}").status_code == 404
        assert localcloud.call("GET", f"/api/{version}/projects/mine").status_code == 422
    assert localcloud.call("GET", f"/api/v1/projects?organization_id={NIL}").json() == []
    assert localcloud.call("GET", "/api/v2/projects?organization_id=mine").json()["items"] == []


def test_an_internal_failure_is_json_and_not_retried(
    localcloud: RunningLocalcloud, caplog: pytest.LogCaptureFixture
) -> None:
    with localcloud.app.store.write() as db:
        db.execute("DROP TABLE events")
        db.execute("DROP TABLE sessions")
    answer = localcloud.call("GET", "/api/v1/chat")
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})
    assert answer.headers["x-should-retry"] == "false"
    assert "no such table" in caplog.text
    assert localcloud.api_key not in caplog.text


def test_the_origin_falls_back_to_the_servers_name() -> None:
    environ = {"REQUEST_METHOD": "GET", "SERVER_NAME": "box", "SERVER_PORT": "81", "wsgi.url_scheme": "http"}
    assert wire.Request({**environ, "SCRIPT_NAME": "/s", "PATH_INFO": "/p/api/x"}).origin == "http://box:81/s/p"


def test_long_and_hostile_titles_pass_through_whole(localcloud: RunningLocalcloud) -> None:
    title = "<script>\u202e\u2028" + "t" * 10_000
    job = {"turns": 1, "duration_ms": 2.5, "is_error": True, "error": title}
    session = localcloud.plant_session(generated_title=title, index_ids=["idx-1"], job_metadata=job)
    answer = localcloud.call("GET", f"/api/v1/chat/{session}/summary")
    assert answer.content.isascii()
    assert (answer.json()["generated_title"], answer.json()["job_metadata"]) == (title, job)
    assert answer.json()["index_ids"] == ["idx-1"]
