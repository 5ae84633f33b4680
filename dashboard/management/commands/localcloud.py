"""``manage.py localcloud``: the embedded, LlamaCloud-compatible server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dashboard.localcloud import serve


class Command(BaseCommand):
    """Reads the command line and serves until Ctrl-C."""

    help = "Serve a folder of documents the way LlamaCloud does; answers quote and no language model is involved."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The fixed surface of the command."""
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--docs", type=Path, required=True, help="folder of documents; one sub-folder is one index")
        parser.add_argument(
            "--api-key",
            default=os.environ.get("LLAMA_CLOUD_API_KEY"),
            help="the key callers must send; out of the process list, it may be in LLAMA_CLOUD_API_KEY instead",
        )
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--database", type=Path, default=Path("localcloud.sqlite3"), help="SQLite file")
        parser.add_argument("--token-delay-ms", type=int, default=0, help="pause between two pieces of an answer")
        parser.add_argument("--sync-delay-ms", type=int, default=0, help="pause before a requested sync works")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve."""
        if not options["docs"].is_dir():
            raise CommandError(f"--docs: {options['docs']} is not a folder")
        if not options["api_key"]:
            raise CommandError("Give the key callers must send: --api-key, or LLAMA_CLOUD_API_KEY.")
        serve(
            docs=options["docs"],
            key=options["api_key"],
            database=options["database"],
            port=options["port"],
            host=options["host"],
            token_delay=options["token_delay_ms"] / 1000,
            sync_delay=options["sync_delay_ms"] / 1000,
        )
