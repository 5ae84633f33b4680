"""How log lines look, and the last belt that keeps the API key out of them."""

from __future__ import annotations

import logging
import time


class PlainFormatter(logging.Formatter):
    """One line an event, in UTC; the key is blotted out wherever it would appear, tracebacks included.

    No code logs the key on purpose. This is for the day an exception from somewhere else quotes a header.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Write the record as text."""
        # Read late: this class is built while the settings still load.
        from django.conf import settings

        text = super().format(record)
        for secret in (settings.CORRAL.llama_cloud_api_key, settings.CORRAL.secret_key):
            text = text.replace(secret.get_secret_value(), "[removed]")
        return text


class NoTracebackForRefusals(logging.Filter):
    """Django logs a 403 or 404 with the traceback of how it was raised; for a refusal the line alone says it all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, some of them shorter."""
        refused = record.name.startswith("django.request") and getattr(record, "status_code", 500) < 500
        if refused or record.name.startswith("django.security"):
            record.exc_info = None
        return True
