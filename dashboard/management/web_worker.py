"""gunicorn's worker with threads, which lets go of an answer that somebody else goes on sending (decision 0007)."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker

from dashboard.web.handover import LETS_GO, HandedOver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ELSEWHERE = object()
"""What becomes of a connection that is not this worker's for now."""


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A connection that was handed over still counts as one of the worker's, which waits for it when it is to end."""

    def load_wsgi(self) -> None:
        """Load the application, and tell it with every request that :class:`HandedOver` is understood."""
        super().load_wsgi()
        application = self.wsgi  # type: ignore[has-type]
        self._now = threading.local()

        def told(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            environ[LETS_GO] = True
            # gunicorn's own object, which knows how it has announced the body and the connection's future.
            self._now.response = getattr(start_response, "__self__", None)
            return application(environ, start_response)

        self.wsgi = told

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request, or note who goes on with the answer."""
        try:
            return super().handle_request(req, conn)
        except HandedOver as handed_over:
            # Who sends a body with a GET, read by nobody, gets no second request on this connection.
            has_body = any(name in ("CONTENT-LENGTH", "TRANSFER-ENCODING") for name, _ in req.headers)
            self._now.handed_over = handed_over, has_body
            return False

    def handle(self, conn: Any) -> Any:
        """Serve a connection; handing it over is the last thing that is done here."""
        self._now.handed_over = None
        answered = super().handle(conn)
        note, self._now.handed_over = self._now.handed_over, None
        if note is None:
            return answered
        (handed_over, has_body), response = note, self._now.response
        is_kept = not has_body and not response.should_close()
        have_back = partial(self.method_queue.defer, self._have_back, conn, is_kept)
        try:
            handed_over.goes_on(conn.sock, response.chunked, have_back)
        except Exception:
            self.log.exception("An answer could not be handed over")
            handed_over.is_left()
            return False
        return _ELSEWHERE

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep the connection for another request or close it, unless it is somebody else's now."""
        if fs.cancelled() or fs.exception() is not None or fs.result() is not _ELSEWHERE:
            super().finish_request(conn, fs)

    def _have_back(self, conn: Any, is_kept: bool, is_fit: bool) -> None:
        """What becomes of a connection that was handed over; in the main thread, which must wait for nobody."""
        if is_fit and is_kept:
            well: Future[bool] = Future()
            well.set_result(True)
            super().finish_request(conn, well)
            return
        self.nr_conns -= 1
        if is_fit:
            # Slowly, so that the browser gets the last bytes also when it has sent some that nobody read.
            self.tpool.submit(conn.close, graceful=True)
        else:
            conn.close()
