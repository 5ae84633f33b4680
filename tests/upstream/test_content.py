"""Page images: fetched without the key from wherever a presigned address leads, bounded in time and size."""

from __future__ import annotations

import time

import pytest

from dashboard.upstream import AnswerLost, NotFound, UnreadableAnswer, content
from dashboard.upstream.content import Content, fetch_presigned
from tests.faulty import Answer, FaultyServer, cut_body, failing, held, redirect, reset, trickle

PNG = b"\x89PNG\r\n\x1a\n and the rest"


def image(**changes: object) -> Answer:
    return Answer(**{"body": PNG, "content_type": "image/png", **changes})  # type: ignore[arg-type]  # an Answer's fields


def fetched(faulty: FaultyServer, answer: Answer) -> Content:
    faulty.script("GET", "/image", [answer])
    return fetch_presigned(f"{faulty.url}/image?sig=secret")


def test_an_image_is_fetched_without_the_key(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    assert fetched(faulty, image()) == Content(PNG, "image/png")

    (asked,) = faulty.received("GET", "/image")
    assert "authorization" not in asked.headers
    assert "cookie" not in asked.headers


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_image_that_is_not_there(faulty: FaultyServer, status: int) -> None:
    with pytest.raises(NotFound):
        fetched(faulty, failing(status))


@pytest.mark.parametrize(
    "answer",
    [
        image(content_type="text/html"),
        image(content_type="image/<script>"),
        image(content_type=None),
        image(headers={"Content-Encoding": "gzip"}),
        image(status=500),
        redirect("http://127.0.0.1:9/elsewhere"),
    ],
)
def test_what_is_no_image_is_refused(faulty: FaultyServer, answer: Answer) -> None:
    with pytest.raises(UnreadableAnswer):
        fetched(faulty, answer)


def test_an_image_that_is_too_large_is_refused(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAX_BYTES", 1000)

    assert fetched(faulty, image(body=b"x" * 1000)).content == b"x" * 1000
    with pytest.raises(UnreadableAnswer):
        fetched(faulty, image(body=b"x" * 1001))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x", "", "//example.org/x"])
def test_what_is_no_web_address_is_not_fetched(url: str) -> None:
    with pytest.raises(UnreadableAnswer):
        fetch_presigned(url)


@pytest.mark.parametrize("url", ["http://", "http://[::1/x", "http://127.0.0.1:99999/", "http://127.0.0.1:9/x?sig=s"])
def test_an_address_that_leads_nowhere_is_told_without_it(url: str) -> None:
    with pytest.raises(AnswerLost) as lost:
        fetch_presigned(url)
    assert "sig" not in str(lost.value)
    assert lost.value.__cause__ is None


def test_a_storage_that_breaks_off_is_told(faulty: FaultyServer) -> None:
    for answer in (reset(), image(body=PNG * 100, cut="body")):
        with pytest.raises(AnswerLost):
            fetched(faulty, answer)
    assert cut_body()


def test_a_storage_that_takes_for_ever_is_given_up(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SECONDS", 0.6)
    began = time.monotonic()

    drip = trickle(b"x" * 200, every=0.1)
    for answer in (Answer(parts=drip.parts, content_type="image/png"), held(20, image())):
        with pytest.raises(AnswerLost):
            fetched(faulty, answer)

    assert time.monotonic() - began < 15


def test_an_image_comes_through_the_proxy_of_every_other_call(faulty: FaultyServer) -> None:
    faulty.script("GET", "/image", [image()])

    found = fetch_presigned("http://storage.invalid/image", proxies={"http": faulty.url, "https": faulty.url})

    assert found.content == PNG


def test_of_a_redirect_nothing_is_read(faulty: FaultyServer) -> None:
    began = time.monotonic()
    endless = Answer(302, headers={"Location": "/elsewhere"}, parts=[(0.0, b"x"), (30.0, b"x")])

    with pytest.raises(UnreadableAnswer):
        fetched(faulty, endless)

    assert time.monotonic() - began < content.GAP
