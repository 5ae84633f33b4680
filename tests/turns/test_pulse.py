"""One thread reads for all, and nobody waits for another's heavy reading."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from dashboard import upstream
from dashboard.turns import pulse as pulse_module
from dashboard.turns.pulse import Pulse
from tests.faulty import FaultyServer, event_stream
from tests.turns.conftest import delta, question, sse, stop, text, until
from tests.turns.readers import ASKED, Reader, no_rest, nothing, pulses, together


@pytest.fixture
def pulse() -> Pulse:
    """One whose thread is the only one of its kind."""
    until(lambda: pulses() == 0)
    return Pulse(lambda: 0.05, nothing)


@pytest.mark.parametrize("rests", [True, False])
def test_many_answers_are_read_by_one_thread(
    faulty: FaultyServer, pulse: Pulse, rests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than any reader is late, or it would end between two of them.
    monkeypatch.setattr(pulse_module, "LINGER", 2.0)
    parts = [(0.05, sse(delta("so "))) for _ in range(20)]
    most = 0

    def caught_up() -> bool:
        nonlocal most
        most = max(most, pulses())
        return rests

    readers = [
        Reader(
            faulty, pulse, f"ses-{n}", event_stream((0.1, sse(question())), *parts, sse(stop())), caught_up=caught_up
        )
        for n in range(10)
    ]
    together(*readers)

    assert most == 1
    for reader in readers:
        assert reader.error is None
        assert list(dict.fromkeys(reader.kinds())) == ["user_input", "text_delta", "stop"]
        assert reader.text == "so " * 20
        assert reader.threads() <= {"pulse", reader.name}
    assert sum(thread == "pulse" for reader in readers for _, thread, _ in reader.taken) > 50


def test_the_thread_ends_with_the_last_answer_and_begins_again(faulty: FaultyServer, pulse: Pulse) -> None:
    for _ in range(3):
        reader = Reader(faulty, pulse, "ses-1", event_stream(sse(question()), (0.2, sse(stop()))))
        together(reader)
        assert reader.kinds() == ["user_input", "stop"]
        until(lambda: pulses() == 0)


@pytest.mark.parametrize("made", [text, delta])
def test_a_long_text_is_rendered_by_its_own_thread_while_others_are_read(
    faulty: FaultyServer, pulse: Pulse, made: Callable[[str], dict[str, Any]]
) -> None:
    def render(event: upstream.Event) -> None:
        if isinstance(event, upstream.Text | upstream.TextDelta):
            time.sleep(1.5)

    long = sse(made("x" * (pulse_module.HEAVY + 1)))
    slow = Reader(faulty, pulse, "ses-slow", event_stream((0.3, long), (0.3, sse(stop()))), take=render)
    quick = Reader(faulty, pulse, "ses-quick", event_stream(*[(0.1, sse(delta("so ")))] * 12, sse(stop())))

    together(slow, quick)

    assert [thread for kind, thread, _ in slow.taken if kind.startswith("text")] == ["ses-slow"]
    times = [at for _, _, at in quick.taken]
    assert max(after - before for before, after in pairwise(times)) < 1.0


def test_what_takes_long_to_judge_is_judged_by_its_own_thread(faulty: FaultyServer, pulse: Pulse) -> None:
    judges: list[str] = []

    def judge() -> bool:
        judges.append(threading.current_thread().name)
        return False

    answer = event_stream((0.3, sse(delta("so "))), (0.3, sse(delta("so "))), (0.3, sse(stop())))
    reader = Reader(faulty, pulse, "ses-1", answer, caught_up=judge)
    reader.to_look_at = lambda: (pulse_module.HEAVY + 1) * (len(reader.taken) == 2)

    together(reader)

    # The head came and nothing with it; then "so " is light, and with the second one it has become heavy.
    assert list(dict.fromkeys(judges)) == ["ses-1", "pulse"]
    assert judges.count("ses-1") >= 2
    assert reader.threads() == {"pulse"}


def test_who_sends_without_end_is_read_by_its_own_thread(
    faulty: FaultyServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse_module, "SLICE", 0.005)
    flood = event_stream((0.3, sse(*[{"type": "surprise", "n": n} for n in range(10_000)])), sse(stop()))
    reader = Reader(faulty, pulse, "ses-flood", flood)

    together(reader)

    assert len(reader.taken) == 10_001
    assert reader.threads() == {"pulse", "ses-flood"}


@pytest.mark.parametrize("rests", [True, False])
def test_what_one_reader_cannot_take_is_its_own_matter(faulty: FaultyServer, pulse: Pulse, rests: bool) -> None:
    def refuse(event: upstream.Event) -> None:
        if isinstance(event, upstream.TextDelta):
            raise LookupError("no room")

    answer = event_stream(sse(question()), *[(0.1, sse(delta("so ")))] * 5, sse(stop()))
    bad = Reader(faulty, pulse, "ses-bad", answer, take=refuse, caught_up=lambda: rests)
    good = Reader(faulty, pulse, "ses-good", answer, caught_up=lambda: rests)

    together(bad, good)

    assert isinstance(bad.error, LookupError)
    assert bad.kinds() == ["user_input", "text_delta"]
    assert good.error is None
    assert good.kinds()[-1] == "stop"


def test_a_stream_that_is_closed_from_outside_is_noticed(faulty: FaultyServer, pulse: Pulse) -> None:
    reader = Reader(faulty, pulse, "ses-1", event_stream(sse(question(), delta("so")), (60.0, b"")))
    reader.start()
    until(lambda: len(reader.taken) == 2)

    reader._stream.close()
    reader.join(5)

    assert isinstance(reader.error, upstream.AnswerLost)


def test_silence_is_noticed_although_nothing_wakes_anybody(
    faulty: FaultyServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse_module, "LOOK_UP", 0.1)
    reader = Reader(faulty, pulse, "ses-1", event_stream(sse(question()), (60.0, b"")))
    reader._stream = faulty.client(stream_gap=0.5).stream("ses-1", ASKED)
    reader.start()
    reader.join(10)

    assert isinstance(reader.error, upstream.AnswerLost)


def test_what_rests_is_read_together_at_the_next_beat(faulty: FaultyServer) -> None:
    looks: list[int] = []
    answer = event_stream((0.2, sse(delta("a"))), *[(0.05, sse(delta("b")))] * 5, (2.0, sse(stop())))

    def caught_up() -> bool:
        grew = len(reader.text) > (looks[-1] if looks else 0)
        looks.append(len(reader.text))
        return grew

    reader = Reader(faulty, Pulse(lambda: 1.0, nothing), "ses-1", answer, caught_up=caught_up)
    together(reader)

    # A slow machine may see the first ones together; what rests then comes in one go.
    first, last = [count for count in dict.fromkeys(looks) if count]
    assert first < last == 6


def test_when_all_are_read_that_is_said_once_for_all(faulty: FaultyServer) -> None:
    said: list[str] = []
    pulse = Pulse(lambda: 0.5, lambda: said.append("all read"))
    answer = event_stream((0.2, sse(delta("a"))), *[(0.1, sse(delta("b")))] * 8, sse(stop()))

    def saying(name: str) -> Callable[[upstream.Event], None]:
        return lambda _: said.append(name)

    names = "ses-1", "ses-2"
    together(*(Reader(faulty, pulse, name, answer, take=saying(name), caught_up=lambda: True) for name in names))

    passes = [set(one.split()) for one in " ".join(said).replace("all read", "|").split("|")]
    assert set(names) in passes
    assert not passes[-1], "the last words are followed by it too"


def test_who_reads_for_nobody_else_says_after_every_part_what_was_read(faulty: FaultyServer) -> None:
    said: list[str] = []
    pulse = Pulse(lambda: 0.5, lambda: said.append("all read"))
    long = "so " * pulse_module.HEAVY
    answer = event_stream(b"".join(sse(delta(long)) for _ in range(30)), sse(stop()))
    reader = Reader(faulty, pulse, "ses-1", answer, take=lambda _: said.append("taken"))
    together(reader)

    assert reader.error is None
    assert "pulse" not in {thread for kind, thread, _ in reader.taken if kind == "text_delta"}
    assert said.count("all read") > 5


def test_who_reads_for_nobody_else_does_not_keep_what_was_read_until_nothing_is_left() -> None:
    class AlwaysMore:
        """A stream of which there is always more to read: over a real connection nobody can be sure of that."""

        part = (upstream.TextDelta(content="so "), upstream.Sign.GO_ON)
        events = iter([*part, *part, upstream.Sign.WAIT])

    said: list[str] = []
    reading = pulse_module._Reading(
        cast(upstream.TurnStream, AlwaysMore),
        lambda _: said.append("taken"),
        no_rest,
        lambda: 0,
        lambda: said.append("all read"),
    )
    reading.go_on()

    assert said == ["taken", "all read", "taken", "all read"]


def test_an_answer_is_not_held_until_the_next_one_comes(
    faulty: FaultyServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse_module, "LINGER", 5.0)
    held = []

    def taking() -> Callable[[upstream.Event], None]:
        class Take:
            def __call__(self, event: upstream.Event) -> None:
                """Nothing is done."""

        take = Take()
        held.append(weakref.ref(take))
        return take

    together(Reader(faulty, pulse, "ses-1", event_stream((0.1, sse(question())), (0.2, sse(stop()))), take=taking()))

    until(lambda: held[0]() is None)
    assert pulses()


def test_who_was_read_first_does_not_wait_for_all_when_that_takes_long(faulty: FaultyServer) -> None:
    said: list[str] = []
    pulse = Pulse(lambda: 0.5, lambda: said.append("all read"))
    answer = event_stream((0.2, sse(delta("a"))), *[(0.1, sse(delta("b")))] * 8, sse(stop()))

    def take(event: upstream.Event) -> None:
        if threading.current_thread().name == "pulse":
            time.sleep(pulse_module.TOGETHER + 0.01)
            said.append("taken")

    together(*(Reader(faulty, pulse, name, answer, take=take, caught_up=lambda: True) for name in ("ses-1", "ses-2")))

    assert "taken" in said
    assert ("taken", "taken") not in pairwise(said)


def test_a_pulse_that_has_ended_leaves_nothing_open(faulty: FaultyServer, pulse: Pulse) -> None:
    def open_files_after(times: int) -> int:
        for _ in range(times):
            together(Reader(faulty, pulse, "ses-1", event_stream((0.1, sse(question())), (0.1, sse(stop())))))
        until(lambda: pulses() == 0)
        return len(list(Path("/proc/self/fd").iterdir()))

    assert open_files_after(2) + 10 > open_files_after(10)


def test_the_next_answer_finds_the_pulse_awake_and_it_ends_when_none_comes(
    faulty: FaultyServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse_module, "LINGER", 1.0)
    seen = []
    for _ in range(2):
        together(Reader(faulty, pulse, "ses-1", event_stream((0.1, sse(question())), (0.2, sse(stop())))))
        seen += [thread.ident for thread in threading.enumerate() if thread.name == "pulse"]

    assert len(seen) == 2
    assert len(set(seen)) == 1
    until(lambda: pulses() == 0)


def test_whoever_comes_later_does_not_put_off_the_beat_of_the_others(faulty: FaultyServer) -> None:
    pulse = Pulse(lambda: 1.0, nothing)
    answer = event_stream((0.1, sse(delta("so "))), *[(0.1, sse(delta("so ")))] * 30, sse(stop()))
    readers, began = [], time.monotonic()
    for number in range(6):
        readers.append(Reader(faulty, pulse, f"ses-{number}", answer, caught_up=lambda: True))
        readers[-1].start()
        time.sleep(0.4)
    for reader in readers:
        reader.join(20)

    times = [began, *(at for _, _, at in readers[0].taken)]
    assert max(after - before for before, after in pairwise(times)) < 1.8


@pytest.mark.parametrize(("chaff", "times"), [(b": nothing\n\n", 100_000), (b"data: [DONE]\n\n", 10_000)])
def test_who_sends_much_that_is_no_event_keeps_nobody_waiting(
    faulty: FaultyServer, pulse: Pulse, chaff: bytes, times: int
) -> None:
    flood = event_stream((0.3, sse(question())), *[chaff * times] * 40, sse(stop()))
    noisy = Reader(faulty, pulse, "ses-noisy", flood)
    quick = Reader(faulty, pulse, "ses-quick", event_stream(*[(0.1, sse(delta("so ")))] * 15, sse(stop())))

    together(noisy, quick)

    assert noisy.kinds() == ["user_input", "stop"]
    (_, _, began), (_, _, ended) = noisy.taken
    assert sum(began < at < ended for _, _, at in quick.taken) >= 2


def test_without_a_thread_to_be_had_the_reader_is_told_and_the_next_one_is_served(
    faulty: FaultyServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = event_stream((0.2, sse(question())), (0.2, sse(stop())))
    first, second = (Reader(faulty, pulse, name, answer) for name in ("ses-1", "ses-2"))
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "pulse":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        together(first)
    together(second)

    assert isinstance(first.error, RuntimeError)
    assert (second.error, second.kinds()) == (None, ["user_input", "stop"])


def test_a_stream_that_cannot_be_waited_for_is_its_own_matter(
    faulty: FaultyServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = event_stream(*[(0.2, sse(delta("so ")))] * 5, sse(stop()))
    bad, good = (Reader(faulty, pulse, name, answer) for name in ("ses-bad", "ses-good"))
    monkeypatch.setattr(bad._stream, "fileno", lambda: -1)

    together(bad, good)

    assert isinstance(bad.error, ValueError)
    assert (good.error, good.kinds()[-1]) == (None, "stop")


def test_nobody_waits_for_ever_for_a_thread_that_broke(
    faulty: FaultyServer, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = event_stream((0.3, sse(question())), (0.3, sse(stop())))
    readers = [Reader(faulty, pulse, f"ses-{n}", answer) for n in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr(pulse_module._Streams, "due", lambda _: 1 / 0)
        together(*readers)
    assert [type(reader.error) for reader in readers] == [ZeroDivisionError] * 3

    after = Reader(faulty, pulse, "ses-after", answer)
    together(after)
    assert after.kinds() == ["user_input", "stop"]


def test_what_was_read_before_the_thread_broke_is_told(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    see_to = pulse_module._Streams.see_to

    def break_after(streams: pulse_module._Streams, reading: Any, now: Any = None) -> None:
        see_to(streams, reading, now)
        if now is None:
            raise ZeroDivisionError

    monkeypatch.setattr(pulse_module._Streams, "see_to", break_after)
    monkeypatch.setattr(pulse_module, "LOOK_UP", 10.0)
    pulse = Pulse(lambda: 0.05, lambda: said.append("all read"))
    reader = Reader(
        faulty, pulse, "ses-1", event_stream((0.8, sse(question())), (5, b"")), take=lambda _: said.append("taken")
    )
    together(reader)

    assert isinstance(reader.error, ZeroDivisionError)
    assert said[-2:] == ["taken", "all read"]
