"""Reading documents and keeping indexes true to their folders."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dashboard.localcloud.app import Localcloud
from dashboard.localcloud.documents import UnreadableDocumentError, list_documents, read_document
from dashboard.localcloud.ingest import ingest
from dashboard.localcloud.passages import MAX_PASSAGE_CHARACTERS, cut
from dashboard.localcloud.search import match_expression, search
from dashboard.localcloud.store import Store
from tests.localcloud.fixtures import API_KEY, RunningLocalcloud, StartLocalcloud, write_documents
from tests.localcloud.pdf import make_pdf


def index_named(server: RunningLocalcloud, name: str) -> dict[str, Any]:
    (found,) = [row for row in server.call("GET", "/api/v1/indexes").json()["items"] if row["name"] == name]
    return dict(found)


def sync(server: RunningLocalcloud, name: str) -> dict[str, Any]:
    """Sync an index and wait until it is done."""
    path = f"/api/v1/indexes/{index_named(server, name)['id']}"
    answer = server.call("POST", f"{path}/sync")
    assert (answer.status_code, answer.json()) == (202, {})
    while server.call("GET", f"{path}?expand=sync_in_progress").json()["sync_in_progress"]:
        time.sleep(0.01)
    return index_named(server, name)


def read(tmp_path: Path, name: str, content: bytes) -> list[tuple[str, str, int | None, int | None]]:
    path = tmp_path / name
    path.write_bytes(content)
    return [(one.text, one.heading, one.line, one.page) for one in read_document(path).sections]


def test_text_is_cut_at_blank_lines(tmp_path: Path) -> None:
    content = "one\u2028still one\r\ntwo\r\n\r\n\r\nthree\rfour\x00".encode()
    assert read(tmp_path, "a.txt", content) == [
        ("one\u2028still one\ntwo", "", 1, None),
        ("three\nfour", "", 5, None),
    ]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_recognised(codec: str, tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", "Bücher – für alle".encode(codec)) == [("Bücher – für alle", "", 1, None)]


def test_markdown_headings_stand_above_their_text(tmp_path: Path) -> None:
    content = b"intro\n# First #\ntext\n\n```sh\n# not a heading\n\nstill code\n```\n## Second\n\n#nospace\n"
    assert read(tmp_path, "a.md", content) == [
        ("intro", "", 1, None),
        ("First", "First", 2, None),
        ("text", "First", 3, None),
        ("```sh\n# not a heading\n\nstill code\n```", "First", 5, None),
        ("Second", "Second", 10, None),
        ("#nospace", "Second", 12, None),
    ]


def test_an_unclosed_fence_is_still_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a.md", b"```\ncode") == [("```\ncode\n", "", 1, None)]


def test_html_is_its_visible_text(tmp_path: Path) -> None:
    content = (
        b"<title>No</title>\n<h1>Oven &amp; <em>hob</em></h1>\n<p>Heats\n to 250.</p><script>if (a</b) {}</script>"
        b"<style>p{}</style><div>Loose<br>ends<noscript>no<style>x</style></noscript></div>tail"
    )
    assert read(tmp_path, "a.html", content) == [
        ("Oven & hob", "Oven & hob", 2, None),
        ("Heats to 250.", "Oven & hob", 3, None),
        ("Loose", "Oven & hob", 4, None),
        ("ends", "Oven & hob", 4, None),
        ("tail", "Oven & hob", 4, None),
    ]


def test_pdf_text_knows_its_page(tmp_path: Path) -> None:
    assert read(tmp_path, "a.PDF", make_pdf("first page", "second page")) == [
        ("first page", "", None, 1),
        ("second page", "", None, 2),
    ]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for content in (b"", b"%PDF-1.4 and then nothing", b"\x00" * 100):
        with pytest.raises(UnreadableDocumentError, match="not a readable PDF"):
            read(tmp_path, "a.pdf", content)
    with pytest.raises(UnreadableDocumentError, match="No such file"):
        read_document(tmp_path / "none.txt")
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(51 * 1024 * 1024)
    with pytest.raises(UnreadableDocumentError, match="larger than 50 MiB"):
        read_document(tmp_path / "big.txt")


def test_only_documents_are_listed(tmp_path: Path) -> None:
    names = ["b.txt", "sub/a.MD", ".hidden.txt", "_draft.md", "_drafts/c.txt", "picture.png", "d.htm"]
    write_documents(tmp_path, dict.fromkeys(names, "x"))
    assert [path.relative_to(tmp_path).as_posix() for path in list_documents(tmp_path)] == [
        "b.txt",
        "d.htm",
        "sub/a.MD",
    ]


def test_passages_are_short_and_whole(tmp_path: Path) -> None:
    long = " ".join(f"Sentence number {number} ends here." for number in range(200))
    path = tmp_path / "a.md"
    path.write_text(f"# Head\n\n## Sub\n\nshort one\n\nshort two\n\n{long}\n\n{'x' * 2000}\n\n{'word ' * 400}")
    passages = list(cut(read_document(path).sections))
    first = passages[0]
    assert (first.text, first.heading, first.line) == ("short one\n\nshort two", "Sub", 3)
    assert max(len(one.text) for one in passages) <= MAX_PASSAGE_CHARACTERS
    assert "".join("".join(one.text.split()) for one in passages[1:]) == (
        "".join(long.split()) + "x" * 2000 + "word" * 400
    )
    assert passages[1].text.endswith("ends here.")
    assert list(cut([])) == []
    path.write_text("# Only a heading")
    assert [one.text for one in cut(read_document(path).sections)] == ["Only a heading"]


def test_lines_are_counted_through_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(f"line {number} is here" for number in range(1, 101)))
    for passage in cut(read_document(path).sections):
        assert passage.text.startswith(f"line {passage.line} ")


def test_every_term_is_quoted() -> None:
    assert match_expression('roses NEAR(2) "x" a-b') == '"roses" OR "near" OR "2" OR "x" OR "b"'
    assert match_expression("Who is it?") == '"who" OR "is" OR "it"'
    assert match_expression("?!") == ""
    assert match_expression("w" + " w".join(map(str, range(100)))).count("OR") == 63


def test_descriptions_come_from_where_one_writes_them(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(
        {
            "Own/_description.txt": "  Said   plainly.\n",
            "Own/a.txt": "Not this.",
            "Blank/_description.txt": " ",
            "Readme/A.txt": "Not this.",
            "Readme/README.md": "# Title\n\nThis\nparagraph.\n\nNot this.",
            "First/a.txt": "This first.",
            "Title/a.md": "# Only a title",
            "Broken/a.pdf": b"no",
            "Empty/": "",
            ".hidden/a.txt": "x",
            "_drafts/a.txt": "x",
            "loose.txt": "x",
        }
    )
    rows = server.call("GET", "/api/v1/indexes").json()["items"]
    assert {row["name"]: row["description"] for row in rows} == {
        "Own": "Said   plainly.",
        "Blank": None,
        "Readme": "This paragraph.",
        "First": "This first.",
        "Title": None,
        "Broken": None,
        "Empty": None,
    }


def test_states_are_honest(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(
        {"Good/a.txt": "x", "Broken/a.pdf": b"no", "Mixed/a.pdf": b"no", "Mixed/b.txt": "x", "Empty/": ""}
    )
    broken, mixed = index_named(server, "Broken"), index_named(server, "Mixed")
    problem = {"a.pdf": "not a readable PDF (PdfStreamError)"}
    assert broken["metadata"] == {"status": "failed", "unreadable_documents": problem}
    assert broken["last_synced_at"] is not None
    assert broken["last_exported_at"] is None
    assert mixed["metadata"] == {"status": "ready", "unreadable_documents": problem}
    assert index_named(server, "Good")["metadata"] == {"status": "ready"}
    assert index_named(server, "Empty")["metadata"] == {"status": "ready"}

    (server.docs / "Broken" / "a.pdf").write_bytes(make_pdf("mended"))
    assert sync(server, "Broken")["metadata"] == {"status": "ready"}


def test_a_sync_without_changes_changes_nothing(localcloud: RunningLocalcloud) -> None:
    before = index_named(localcloud, "Travel policy")
    after = sync(localcloud, "Travel policy")
    assert after["updated_at"] == before["updated_at"]
    assert after["last_synced_at"] > before["last_synced_at"]


def test_a_document_that_became_unreadable_is_not_quoted_any_more(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud({"A/a.pdf": make_pdf("treasure"), "A/b.txt": "other"})
    (server.docs / "A" / "a.pdf").write_bytes(b"damaged")
    row = sync(server, "A")
    assert list(row["metadata"]["unreadable_documents"]) == ["a.pdf"]
    assert search(server.app.store, row["id"], "treasure", 5) == []


def test_removed_documents_and_folders_are_forgotten(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud({"A/a.txt": "apple", "A/b.txt": "banana", "B/a.txt": "cherry"})
    key = index_named(server, "A")["id"]
    (server.docs / "A" / "b.txt").unlink()
    sync(server, "A")
    assert search(server.app.store, key, "banana", 5) == []
    assert len(search(server.app.store, key, "apple", 5)) == 1
    (server.docs / "B" / "a.txt").unlink()
    (server.docs / "B").rmdir()
    assert sync(server, "B")["metadata"]["unreadable_documents"] == {"B": "the folder is gone"}
    again = start_localcloud(docs=server.docs, database=server.database)
    assert list(again.index_ids()) == ["A"]
    with again.app.store.read() as db:
        assert db.execute("SELECT count(*) FROM passages").fetchone()[0] == 1


def test_ids_survive_a_fresh_database(start_localcloud: StartLocalcloud) -> None:
    one = start_localcloud()
    other = start_localcloud(docs=one.docs)
    assert one.index_ids() == other.index_ids()


def test_an_unknown_index_is_not_found(localcloud: RunningLocalcloud) -> None:
    for method, path in [("GET", ""), ("POST", "/sync"), ("POST", "/sync/cancel")]:
        answer = localcloud.call(method, f"/api/v1/indexes/idx-none{path}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Index not found"})
    assert localcloud.call("POST", "/api/v1/chat", json={"index_ids": ["idx-none"]}).status_code == 404


def test_only_one_thing_can_be_expanded(localcloud: RunningLocalcloud) -> None:
    path = f"/api/v1/indexes/{index_named(localcloud, 'Travel policy')['id']}"
    answer = localcloud.call("GET", f"{path}?expand=sync_in_progress&expand=documents")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "expand", 1]


def test_a_failing_sync_is_failed_and_not_for_ever_running(
    localcloud: RunningLocalcloud, caplog: pytest.LogCaptureFixture
) -> None:
    with localcloud.app.store.write() as db:
        db.execute("DROP TABLE pages")
    (localcloud.docs / "Garden notes" / "new.pdf").write_bytes(make_pdf("new"))
    assert sync(localcloud, "Garden notes")["metadata"]["status"] == "failed"
    assert "no such table" in caplog.text


def test_an_ingest_can_be_cancelled_between_documents(tmp_path: Path) -> None:
    store = Store(tmp_path / "db.sqlite3")
    cancelled = threading.Event()
    cancelled.set()
    assert ingest(store, "idx-1", write_documents(tmp_path / "docs", {"a.txt": "x"}), cancelled) is None
    store.close()


def test_closing_cancels_a_waiting_sync(tmp_path: Path) -> None:
    docs = write_documents(tmp_path / "docs", {"A/a.txt": "x"})
    app = Localcloud(docs, API_KEY, tmp_path / "db.sqlite3", sync_delay=60)
    app.indexes.start(_only(app), 60)
    began = time.monotonic()
    app.close()
    assert time.monotonic() - began < 30


def _only(app: Localcloud) -> str:
    with app.store.read() as db:
        return str(db.execute("SELECT id FROM indexes").fetchone()[0])


def test_long_and_hostile_texts_pass_through_whole(start_localcloud: StartLocalcloud) -> None:
    description = "d" * 10_000 + "\u202e\u2028<script>"
    name = "N" * 200 + " %2F <b> ' \" é"
    server = start_localcloud({f"{name}/_description.txt": description, f"{name}/a_*b*.txt": "torn\u2028text"})
    row = index_named(server, name)
    assert row["description"] == description
    session = server.call("POST", "/api/v1/chat", json={"index_ids": [row["id"]]}).json()["session_id"]
    body = {"index_ids": [row["id"]], "prompt": "torn"}
    answer = server.call("POST", f"/api/v1/chat/{session}/messages/stream", json=body)
    assert answer.content.isascii()
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    text = next(event["content"] for event in events if event["type"] == "text")
    assert "> torn\u2028text" in text
    assert "**a\\_\\*b\\*.txt**, line 1" in text
    assert events[2]["result"][0]["document"] == "a_*b*.txt"


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new" / "db.sqlite3"
    store = Store(path)
    with store.write() as db:
        db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(RuntimeError, match="version 99"):
        Store(path)


def test_a_connection_given_back_after_closing_is_closed(tmp_path: Path) -> None:
    store = Store(tmp_path / "db.sqlite3")
    with store.read():
        store.close()
    assert not list(tmp_path.glob("db.sqlite3-*"))


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "db.sqlite3")
    with pytest.raises(KeyError), store.write() as db:
        db.execute("DELETE FROM secret")
        raise KeyError
    with store.read() as db:
        assert db.execute("SELECT count(*) FROM secret").fetchone()[0] == 1
    store.close()
