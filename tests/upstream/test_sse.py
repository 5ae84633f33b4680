"""Bytes to events, at every place the network may cut them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.upstream import ServerEvent, SseDecoder, UnreadableAnswer

ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
texts = st.text(st.sampled_from("a:= \u2028\u2029\x85\x0b\x0c\x1cé漢🦙\ufeff\0"), max_size=6)
lines = st.one_of(
    st.just(""),
    texts.map(lambda text: f"data:{text}"),
    texts.map(lambda text: f"data: {text}"),
    texts.map(lambda text: f"event: {text}"),
    texts.map(lambda text: f"id: {text}"),
    texts.map(lambda text: f": {text}"),
    st.sampled_from(["data", "event", "id", "retry: 15", "retry: x1", "retry: ٣", "other: 1", "data:  two"]),
)
streams = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(lines.map(lambda line: line.encode()), ends), max_size=14),
    st.sampled_from([b"", b"data: tail", b"\xff\xfe"]),
).map(lambda whole: whole[0] + b"".join(line + end for line, end in whole[1]) + whole[2])


def decode(*chunks: bytes) -> tuple[list[ServerEvent], list[ServerEvent], int | None]:
    decoder = SseDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events, decoder.flush(), decoder.retry


def reference(stream: bytes) -> list[ServerEvent]:
    """WHATWG HTML §9.2 step by step over the whole text, without any of the decoder's cleverness."""
    text = stream.decode("utf-8", "replace")
    if text.startswith("\ufeff"):
        text = text[1:]
    events, name, data, last_id = [], "", "", ""
    for line in re.split("\r\n|\n|\r", text)[:-1]:
        if line == "":
            if data != "":
                events.append(ServerEvent(name or "message", data.removesuffix("\n"), last_id))
            name, data = "", ""
        elif not line.startswith(":"):
            field, colon, value = line.partition(":")
            value = value[1:] if colon and value.startswith(" ") else value
            if field == "event":
                name = value
            elif field == "data":
                data += value + "\n"
            elif field == "id" and "\0" not in value:
                last_id = value
    return events


@settings(deadline=None)
@given(streams)
def test_the_decoder_reads_as_the_standard_says(stream: bytes) -> None:
    # The standard dispatches an event whose only data line is empty; a turn's events are JSON, so it says nothing.
    assert decode(stream)[0] == [event for event in reference(stream) if event.data]


@settings(deadline=None)
@given(streams)
def test_every_single_cut_gives_the_same_events(stream: bytes) -> None:
    whole = decode(stream)
    for cut in range(len(stream) + 1):
        assert decode(stream[:cut], stream[cut:]) == whole


@settings(deadline=None)
@given(streams, st.lists(st.integers(0, 200)))
def test_any_set_of_cuts_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert decode(*(stream[start:end] for start, end in pairwise(places))) == decode(stream)


@settings(deadline=None)
@given(streams)
def test_byte_by_byte_gives_the_same_events(stream: bytes) -> None:
    assert decode(*(bytes([byte]) for byte in stream)) == decode(stream)


def test_a_byte_order_mark_is_dropped_at_the_start_and_nowhere_else() -> None:
    bom = b"\xef\xbb\xbf"
    assert decode(bom[:1], bom[1:] + b"data: a\n" + bom + b"data: b\n\n")[0] == [ServerEvent("message", "a")]


def test_a_crlf_cut_in_two_ends_one_line_not_two() -> None:
    assert decode(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n")[0] == [ServerEvent("message", "a\nb")]


def test_line_separators_inside_an_answer_do_not_tear_it() -> None:
    assert decode("data: a\u2028b\u2029c\x85d\n\n".encode())[0] == [ServerEvent("message", "a\u2028b\u2029c\x85d")]


def test_a_character_cut_in_two_is_one_character() -> None:
    whole = "data: 🦙\n\n".encode()
    assert decode(whole[:8], whole[8:])[0] == [ServerEvent("message", "🦙")]


def test_an_id_stays_until_another_and_one_with_nul_is_ignored() -> None:
    events = decode(b"id: 7\ndata: a\n\ndata: b\n\nid: 8\0\ndata: c\n\nid\ndata: d\n\n")[0]
    assert [event.id for event in events] == ["7", "7", "7", ""]


def test_a_comment_after_an_id_dispatches_nothing() -> None:
    assert decode(b"id: 7\n: ping\n\n: ping\n\n")[0] == []


def test_the_name_belongs_to_one_event_only() -> None:
    events = decode(b"event: delta\n\nevent: delta\ndata: 1\n\ndata: 2\n\n")[0]
    assert [event.event for event in events] == ["delta", "message"]


def test_only_digits_set_the_retry_time() -> None:
    assert decode(b"retry: 1500\nretry: 1e9\nretry: -1\nretry:\nretry: 99999999999\n")[2] == 1500


def test_the_last_event_needs_no_blank_line() -> None:
    events, tail, _ = decode(b"data: 1\n\ndata: 2\n")
    assert (events, tail) == ([ServerEvent("message", "1")], [ServerEvent("message", "2")])


def test_an_endless_line_is_refused_however_it_is_cut() -> None:
    decoder = SseDecoder(limit=100)
    for _ in range(100):
        decoder.feed(b"x")
    with pytest.raises(UnreadableAnswer):
        decoder.feed(b"x")


def test_an_endless_event_of_short_lines_is_refused() -> None:
    decoder = SseDecoder(limit=100)
    for _ in range(14):
        decoder.feed(b"data: x\n")
    with pytest.raises(UnreadableAnswer):
        decoder.feed(b"data: x\n")


def test_keep_alives_and_finished_events_do_not_fill_the_limit() -> None:
    decoder = SseDecoder(limit=100)
    for _ in range(100):
        for _ in range(10):
            assert decoder.feed(b": ping ping ping\n") == []
        assert decoder.feed(b"data: x\n\n") == [ServerEvent("message", "x")]
