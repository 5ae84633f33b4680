"""A handful of child processes that live and die together."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Self


class ChildDied(Exception):
    """A child ended by itself; the text says which one and how."""


class Interrupted(Exception):
    """This process was told to stop."""


class Children:
    """Starts processes, watches them, and leaves none behind.

    Used as a context manager: leaving the block stops all of them, the last started first. Inside, SIGTERM and Ctrl-C
    are noted and :meth:`check` raises :class:`Interrupted`; a signal never strikes between starting a child and
    remembering it.
    """

    def __init__(self, *, patience: float = 35) -> None:
        """Remember how many seconds a child gets to finish what it does before it is killed."""
        self._patience = patience
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._told_to_stop = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Signals are still only noted: a second Ctrl-C out of impatience leaves none of them running either.
        for child in reversed(self._running.values()):
            child.terminate()
            try:
                child.wait(self._patience)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._told_to_stop = True

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run one process to its end.

        Raises:
            ChildDied: it failed.
        """
        code = subprocess.run(command, env=dict(environment), check=False).returncode  # noqa: S603
        self.check()  # the terminal's Ctrl-C ended it too: that is no failure
        if code:
            raise ChildDied(f"{name} failed; its own words are above.")

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start one process. It does not get the terminal's Ctrl-C: stopping is for this object to do, in order."""
        self._running[name] = subprocess.Popen(command, env=dict(environment), start_new_session=True)  # noqa: S603

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Wait for ``ready`` while all children live.

        Raises:
            ChildDied: one ended, or ``ready`` stayed false for ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ChildDied(f"{what} did not answer within {seconds:.0f} seconds.")
            time.sleep(0.1)

    def watch(self) -> None:
        """Stay until a child ends or this process is told to stop."""
        while True:
            self.check()
            time.sleep(0.3)

    def check(self) -> None:
        """Raise :class:`ChildDied` if one has ended, :class:`Interrupted` if this process was told to stop."""
        if self._told_to_stop:
            raise Interrupted
        for name, child in self._running.items():
            if (code := child.poll()) is not None:
                how = f"was killed by signal {-code}" if code < 0 else f"stopped with exit status {code}"
                raise ChildDied(f"{name} {how}; its own words are above.")
