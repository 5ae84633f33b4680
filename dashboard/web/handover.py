"""How a web server is told that somebody else goes on with an answer. Both sides import this."""

from __future__ import annotations

import socket
from collections.abc import Callable

LETS_GO = "corral.lets_go"
"""In the environment of a request whose web server takes :class:`HandedOver` for an answer."""


class HandedOver(OSError):
    """Raised by a body that somebody else goes on sending.

    An ``OSError``, because those are what a web server lets through from a body without a word.

    Args:
        goes_on: takes the connection, whether the body is in chunks, and what to call when it is over: with whether the
            connection is fit for another request. It must be the last thing the thread does with the connection.
        is_left: must be called instead when that cannot be, or when it fails.
    """

    def __init__(
        self, goes_on: Callable[[socket.socket, bool, Callable[[bool], None]], None], is_left: Callable[[], None]
    ) -> None:
        super().__init__("somebody else goes on")
        self.goes_on = goes_on
        self.is_left = is_left
