"""The same over TLS, whose records come apart from the socket's bytes."""

from __future__ import annotations

import ssl
import subprocess
import time
from pathlib import Path

import pytest
import requests
from urllib3.util.wait import wait_for_read

from dashboard.upstream import AnswerLost, Event, LlamaCloud, Sign, TextDelta, Unreachable
from tests.faulty import KEY, Answer, FaultyServer, event_stream, held, trickle
from tests.upstream.test_stream import ASKED, DELTA, PATH, STOP, kinds
from tests.upstream.test_transport import PROJECTS, create, failure


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate nobody signed, and its key, in one file."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return tmp_path / "cert.pem"


@pytest.fixture
def secure(faulty: FaultyServer, certificate: Path) -> FaultyServer:
    """The server, speaking TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    faulty.use_tls(context)
    return faulty


def test_an_unknown_certificate_is_refused_before_the_key_is_sent(secure: FaultyServer) -> None:
    error = failure(lambda: create(LlamaCloud(f"https://127.0.0.1:{secure.port}", KEY)))
    assert (type(error), error.outcome) == (Unreachable, "refused")
    assert secure.requests == []


@pytest.mark.parametrize("slow", [held(30), trickle(b"[" + b" " * 600 + b"]", every=0.05)])
def test_over_tls_a_read_also_ends_within_its_budget(
    secure: FaultyServer, certificate: Path, monkeypatch: pytest.MonkeyPatch, slow: Answer
) -> None:
    # The one way to let `requests` trust a test's certificate without giving the client an option to trust less.
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    client = LlamaCloud(f"https://127.0.0.1:{secure.port}", KEY, read_budget=0.8)
    assert client.projects().complete
    secure.script("GET", PROJECTS, [slow], repeat=True)
    started = time.monotonic()
    assert type(failure(client.projects)) is AnswerLost
    assert time.monotonic() - started < 15


def test_over_tls_too_all_that_came_is_read_together(
    secure: FaultyServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS gives one record at a time, and a server that streams makes one of every event."""
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    secure.script("POST", PATH, [event_stream(*[(0.01, DELTA)] * 40, STOP)])
    client = LlamaCloud(f"https://127.0.0.1:{secure.port}", KEY)
    with client.stream("ses-1", ASKED) as turn:
        waits = 0
        events: list[Event] = []
        for event in turn.events:
            if event is Sign.WAIT:
                waits += 1
                time.sleep(0.5)
            elif not isinstance(event, Sign):
                events.append(event)
        assert list(dict.fromkeys(kinds(events))) == ["text_delta", "stop"]
        assert sum(len(event.content) for event in events if isinstance(event, TextDelta)) == 40 * len("Beca")
    assert 1 <= waits < 15


def test_over_tls_a_pulse_reads_every_token_of_a_slow_answer_when_it_comes(
    secure: FaultyServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TLS holds back from the socket's readiness would be seen a second late."""
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    secure.script("POST", PATH, [event_stream(*[(0.3, DELTA)] * 4, STOP)])
    client = LlamaCloud(f"https://127.0.0.1:{secure.port}", KEY)
    with client.stream("ses-1", ASKED) as turn:
        came = 0
        while not turn.complete and wait_for_read(turn, 5.0):  # type: ignore[arg-type]  # a file number is all it takes
            while (event := next(turn.events, Sign.WAIT)) is not Sign.WAIT:
                came += not isinstance(event, Sign)
    assert came == 5
