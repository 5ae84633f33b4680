"""A network of two ends, the far one in a namespace of its own, that can be cut so that nobody is told of it.

Closing a socket tells the other side. A pulled plug does not: what is sent vanishes, and whoever waits for an answer
waits. Only a network of one's own can be cut like that, and only root may have one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

_CLONE_NEWNET = 0x4000_0000
"""From linux/sched.h."""


@dataclass
class Cable:
    """The cable, and a listener at its far end.

    Args:
        name: of the namespace and, with a letter, of the two devices.
        far: the address of the far end.
        listener: takes connections there.
    """

    name: str
    far: str
    listener: socket.socket

    def cut(self) -> None:
        """From now on nothing arrives at either end."""
        _ip("-n", self.name, "link", "set", f"{self.name}f", "down")

    def mend(self) -> None:
        """As before; what was sent meanwhile is lost, unless it is sent again."""
        _ip("-n", self.name, "link", "set", f"{self.name}f", "up")


@contextmanager
def cable() -> Iterator[Cable]:
    """Lay a cable; skip the test where that is not allowed."""
    name, far = f"cut{time.time_ns() % 10**9}", f"10.77.{os.getpid() % 250}.2"
    near = far[:-1] + "1"
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace can be made here (Debian: as root, with iproute2)")
    try:
        _ip("link", "add", f"{name}n", "type", "veth", "peer", "name", f"{name}f", "netns", name)
        _ip("addr", "add", f"{near}/30", "dev", f"{name}n")
        _ip("link", "set", f"{name}n", "up")
        _ip("-n", name, "addr", "add", f"{far}/30", "dev", f"{name}f")
        _ip("-n", name, "link", "set", f"{name}f", "up")
        # A thread of its own enters the namespace and ends there: a socket stays where it was made.
        with ThreadPoolExecutor(1) as inside:
            listener = inside.submit(_listen_in, name, far).result()
        with listener:
            yield Cable(name, far, listener)
    finally:
        # The devices go by themselves with the namespace, but when the kernel has time.
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", f"{name}n")
        _ip("netns", "del", name)


def _listen_in(name: str, address: str) -> socket.socket:
    with open(f"/run/netns/{name}") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    return socket.create_server((address, 0), backlog=512)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
