"""Page images: names, signed addresses, content (contract.md §8)."""

from __future__ import annotations

from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import pytest
import requests

from dashboard.localcloud import attachments
from dashboard.localcloud.pictures import draw_page, page_number
from tests.localcloud.fixtures import RunningLocalcloud, StartLocalcloud
from tests.localcloud.pdf import make_pdf

PAGE = "screenshots/page_1.svg"


@pytest.fixture
def server(start_localcloud: StartLocalcloud) -> RunningLocalcloud:
    return start_localcloud({"A/a.pdf": make_pdf("one", "two", "three"), "A/b.txt": "no pages"})


def source_of(server: RunningLocalcloud, name: str) -> str:
    with server.app.store.read() as db:
        return str(db.execute("SELECT id FROM documents WHERE name = ?", (name,)).fetchone()[0])


@pytest.mark.parametrize("name", [PAGE, PAGE.replace("/", "%2F"), PAGE.replace("/", "%2f")])
def test_the_slash_in_a_name_may_be_encoded(name: str, server: RunningLocalcloud) -> None:
    answer = server.call("GET", f"/api/v1/beta/attachments/{name}?source_id={source_of(server, 'a.pdf')}")
    assert answer.status_code == 200
    assert set(answer.json()) == {"url", "expires_at", "form_fields"}
    picture = requests.get(answer.json()["url"], timeout=5)
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in picture.headers["Content-Security-Policy"]
    assert picture.text.count("one") == 1


def test_an_address_keeps_the_base_path(server: RunningLocalcloud) -> None:
    path = f"/embedded/api/v1/beta/attachments/{PAGE}?source_id={source_of(server, 'a.pdf')}"
    url = server.call("GET", path).json()["url"]
    assert url.startswith(f"{server.base_url}/embedded/api/localcloud/attachments/dfl-")
    assert requests.get(url, timeout=5).status_code == 200


def test_a_changed_or_old_address_opens_nothing(server: RunningLocalcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/api/v1/beta/attachments/{PAGE}?source_id={source_of(server, 'a.pdf')}"
    url = server.call("GET", path).json()["url"]
    address = urlsplit(url)
    for changed in [
        url.replace("page_1", "page_2"),
        url.replace("expires=", "expires=9"),
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.split("?")[0],
        f"{url.split('?')[0]}?expires=x&signature={quote('é')}",
    ]:
        answer = requests.get(changed, timeout=5)
        assert (answer.status_code, answer.json()) == (403, {"detail": "This address is not valid or has expired"})
    assert requests.get(url, timeout=5).status_code == 200
    monkeypatch.setattr(attachments, "LIFETIME_SECONDS", -1)
    assert requests.get(server.call("GET", path).json()["url"], timeout=5).status_code == 403
    assert server.api_key not in address.query


def test_pages_are_listed_in_pages(server: RunningLocalcloud) -> None:
    query = f"/api/v1/beta/attachments?source_id={source_of(server, 'a.pdf')}&page_size=2"
    first = server.call("GET", query).json()
    assert [row["name"] for row in first["items"]] == [PAGE, "screenshots/page_2.svg"]
    second = server.call("GET", f"{query}&page_token={first['next_page_token']}").json()
    assert [row["name"] for row in second["items"]] == ["screenshots/page_3.svg"]
    assert (second["next_page_token"], second["total_size"]) == (None, None)


def test_a_document_without_pages_has_no_images(server: RunningLocalcloud) -> None:
    source = source_of(server, "b.txt")
    assert server.call("GET", f"/api/v1/beta/attachments?source_id={source}").json()["items"] == []
    answer = server.call("GET", f"/api/v1/beta/attachments/{PAGE}?source_id={source}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Attachment not found"})


def test_what_is_unknown_or_missing_is_said(server: RunningLocalcloud) -> None:
    source = source_of(server, "a.pdf")
    for name in ("screenshots/page_4.svg", "screenshots/page_1.jpg", "screenshots/page_0.svg", "x"):
        assert server.call("GET", f"/api/v1/beta/attachments/{name}?source_id={source}").status_code == 404
    assert server.call("GET", "/api/v1/beta/attachments?source_id=dfl-none").status_code == 404
    for path in ("", f"/{PAGE}"):
        answer = server.call("GET", f"/api/v1/beta/attachments{path}")
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["query", "source_id"]


def test_a_page_is_drawn_as_text_and_nothing_else() -> None:
    text = "<script>alert(1)</script> & \x01\ud7ff\t" + "long words " * 1000 + "\n\nend"
    drawn = draw_page(3, text)
    root = ElementTree.fromstring(drawn)  # noqa: S314  our own output
    assert {element.tag.split("}")[1] for element in root.iter()} == {"svg", "title", "rect", "text"}
    words = "".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "<script>alert(1)</script> & \ufffd" in words
    assert words.count("long") == 1000
    assert float(root.attrib["height"]) > 842
    assert "Page 3, its text only" in words
    assert float(ElementTree.fromstring(draw_page(1, "")).attrib["height"]) == 842  # noqa: S314  our own output


def test_names_of_pages_are_strict() -> None:
    assert page_number("screenshots/page_12.svg") == 12
    assert page_number("screenshots/page_١.svg") is None
