"""gunicorn's worker with threads, which lets go of an answer that somebody else goes on sending (decision 0007)."""

from __future__ import annotations

import threading
from concurrent.futures import Future
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
        self._handed_over = threading.local()

        def told(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            environ[LETS_GO] = True
            return application(environ, start_response)

        self.wsgi = told

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request, or note who goes on with the answer."""
        try:
            return super().handle_request(req, conn)
        except HandedOver as handed_over:
            self._handed_over.now = (handed_over, req)
            return False

    def handle(self, conn: Any) -> Any:
        """Serve a connection; handing it over is the last thing that is done here."""
        self._handed_over.now = None
        answered = super().handle(conn)
        if self._handed_over.now is None:
            return answered
        handed_over, req = self._handed_over.now
        # HTTP/1.0 (nginx, unless told otherwise) knows no chunks: there the connection's end is the answer's.
        in_chunks = req.version > (1, 0)
        can_be_kept = in_chunks and not req.should_close() and self._keepalive_after(conn, True)

        def done(is_fit: bool) -> None:
            outcome: Future[bool] = Future()
            outcome.set_result(is_fit and can_be_kept)
            self.method_queue.defer(self.finish_request, conn, outcome)

        handed_over.goes_on(conn.sock, in_chunks, done)
        return _ELSEWHERE

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep the connection for another request or close it, unless it is somebody else's now."""
        if fs.cancelled() or fs.exception() is not None or fs.result() is not _ELSEWHERE:
            super().finish_request(conn, fs)
