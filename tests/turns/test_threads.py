"""Threads are taken again for the next run, and there is always one more."""

from __future__ import annotations

import queue
import threading
import time
from functools import partial

import pytest

from dashboard.turns import threads as threads_module
from dashboard.turns.threads import Given, Threads
from tests.turns.conftest import until


@pytest.fixture
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Threads:
    monkeypatch.setattr(threads_module, "KEPT", 1.0)
    return Threads(request.node.name)


def kept(threads: Threads) -> int:
    return sum(thread.name == threads._name for thread in threading.enumerate())


def done_in(threads: Threads) -> int:
    """The thread that did a piece of work, once it is free again."""
    did: list[int] = []
    free = threads._free
    threads.do(lambda: did.append(threading.get_ident()))
    until(lambda: did and threads._free >= max(1, free))
    return did[0]


def test_who_is_done_takes_the_next(threads: Threads) -> None:
    assert len({done_in(threads) for _ in range(5)}) == 1


def test_all_work_begins_at_once_however_much_is_under_way(threads: Threads) -> None:
    done_in(threads)
    all_here = threading.Barrier(9, timeout=10)

    def meet() -> None:
        all_here.wait()

    for _ in range(8):
        threads.do(meet)
    all_here.wait()
    until(lambda: threads._free == 8)
    assert kept(threads) == 8


def test_work_is_in_hand_when_whoever_asked_for_it_goes_on(threads: Threads) -> None:
    done_in(threads)
    for _ in range(50):
        threads.do(lambda: None)
        assert threads._work.empty()
        until(lambda: threads._free == 1)


def test_who_waits_in_vain_ends_and_the_next_work_is_done_all_the_same(threads: Threads) -> None:
    first = done_in(threads)
    until(lambda: kept(threads) == 0)
    assert threads._free == 0
    assert first
    assert done_in(threads)


def test_work_given_at_the_moment_of_the_end_is_not_lost(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "KEPT", 0.0005)
    did: list[int] = []
    for number in range(500):
        threads.do(partial(did.append, number))
        threading.Event().wait(0.0004)
    until(lambda: len(did) == 500)
    assert sorted(did) == list(range(500))


def test_work_of_the_last_moment_that_another_takes_holds_nobody_up(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are free, and one waits in vain; what comes just then the other takes while the first one looks."""
    both_here, waited, looks = threading.Barrier(3, timeout=10), threading.Event(), threading.Event()

    class Work(queue.SimpleQueue[Given]):
        def get(self, block: bool = True, timeout: float | None = None) -> Given:
            if timeout is not None and not waited.is_set():
                waited.set()
                until(lambda: threads._free == 2)
                begins = threading.Lock()
                begins.acquire()
                with threads._lock:
                    threads._free -= 1
                    self.put((lambda: None, begins))
                raise queue.Empty
            looks.wait(10)
            return super().get(block, timeout)

        def empty(self) -> bool:
            found = super().empty()
            looks.set()
            time.sleep(0.05)
            return found

        def get_nowait(self) -> Given:
            looks.set()
            time.sleep(0.05)
            return super().get_nowait()

    def meet() -> None:
        both_here.wait()

    monkeypatch.setattr(threads, "_work", Work())
    threads.do(meet)
    threads.do(meet)
    both_here.wait()
    until(lambda: kept(threads) == 0)
    assert threads._free == 0
    assert not threads._lock.locked()


def test_nothing_of_the_work_is_kept_with_the_thread(threads: Threads) -> None:
    class Held:
        gone = False

        def __call__(self) -> None:
            """Be done."""

        def __del__(self) -> None:
            Held.gone = True

    threads.do(Held())
    until(lambda: Held.gone)
    assert kept(threads) == 1


def test_without_a_thread_to_be_had_that_is_said(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            threads.do(lambda: None)
    assert done_in(threads)
