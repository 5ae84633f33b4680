"""``manage.py demo``: everything on one machine, with sample documents and two people who can sign in."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dashboard.config import Config
from dashboard.management import ports
from dashboard.management.children import ChildDied, Children, Interrupted

HOST = "127.0.0.1"
FOLDER = Path(".demo")
TOKEN_DELAY_MS = 12
"""So that answers are seen growing, and can be stopped."""
DOCUMENTS = settings.BASE_DIR / "dashboard" / "localcloud" / "samples"


def _password() -> str:
    return secrets.token_urlsafe(12)


@dataclass
class DemoSecrets:
    """What the demo makes up on its first run and keeps for the next."""

    api_key: str = field(default_factory=lambda: f"demo-{secrets.token_urlsafe(32)}")
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    member_password: str = field(default_factory=_password)
    admin_password: str = field(default_factory=_password)

    @classmethod
    def kept_in(cls, folder: Path) -> DemoSecrets:
        """Read them from ``folder``, or make and write them; only this user may read the file."""
        path = folder / "secrets.json"
        if path.exists():
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = cls()
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(made), file)
        return made


class Command(BaseCommand):
    """Start localcloud, the worker and the web server together, and stop them together."""

    help = "Starts everything with sample documents on this machine; nothing leaves it. Ctrl-C stops it."
    # No system checks: those of the children's environment, not of this process's, are what counts.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the port."""
        parser.add_argument("--port", type=int, default=8000, help="port of the dashboard (default: %(default)s)")
        parser.add_argument("--data", type=Path, default=FOLDER, help="where its data is kept (default: %(default)s)")
        # Run by this command itself, in the environment it prepared.
        parser.add_argument("--seed", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, port: int, data: Path, seed: bool, **options: Any) -> None:
        """Run until told to stop."""
        folder = settings.BASE_DIR / data
        known = DemoSecrets.kept_in(folder)
        if seed:
            _seed(known)
            return
        if not ports.is_free(HOST, port):
            raise CommandError(f"Port {port} is in use. Stop what listens there, or choose another: --port {port + 1}")
        try:
            with Children() as children:
                self._start(children, known, folder, port)
                self._welcome(known, port)
                children.watch()
        except Interrupted:
            self.stdout.write(f"Stopped. The demo's data is kept in {data} for the next time.")
        except ChildDied as died:
            raise CommandError(f"The demo has stopped: {died}") from None

    def _start(self, children: Children, known: DemoSecrets, folder: Path, port: int) -> None:
        cloud_port = ports.any_free(HOST)
        environment = _environment(known, folder, cloud_port)
        for step in (["migrate", "--verbosity=0"], ["demo", "--seed", f"--data={folder}"]):
            children.run(step[0], _manage(*step), environment)
        localcloud = ["localcloud", f"--port={cloud_port}", f"--docs={DOCUMENTS}"]
        localcloud += [f"--database={folder / 'localcloud.sqlite3'}", f"--token-delay-ms={TOKEN_DELAY_MS}"]
        children.start("localcloud", _manage(*localcloud), environment)
        children.wait_until(lambda: _answers(f"http://{HOST}:{cloud_port}/"), seconds=120, what="localcloud")
        children.start("worker", _manage("worker"), environment)
        children.start("serve", _manage("serve", f"--host={HOST}", f"--port={port}"), environment)
        children.wait_until(lambda: _answers(f"http://{HOST}:{port}/livez"), seconds=60, what="The web server")

    def _welcome(self, known: DemoSecrets, port: int) -> None:
        self.stdout.write(
            f"\nCorral is ready: http://{HOST}:{port}\n"
            f"           also: http://localhost:{port}\n\n"
            f"A member\nusername: member\npassword: {known.member_password}\n\n"
            f"An administrator\nusername: admin\npassword: {known.admin_password}\n\n"
            "Ctrl-C stops it."
        )
        self.stdout.flush()


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


def _environment(known: DemoSecrets, folder: Path, cloud_port: int) -> dict[str, str]:
    """Answer the children's environment: ours, less whatever this shell says about a real installation."""
    ours = {name.upper() for name in Config.model_fields} | {f"{name.upper()}_FILE" for name in Config.model_fields}
    return {
        **{name: value for name, value in os.environ.items() if name not in ours},
        "LLAMA_CLOUD_API_KEY": known.api_key,
        "LLAMA_CLOUD_BASE_URL": f"http://{HOST}:{cloud_port}",
        "SECRET_KEY": known.secret_key,
        "DATABASE_URL": f"sqlite:///{quote(str(folder / 'corral.sqlite3'))}",
        "INSECURE_HTTP": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _answers(url: str) -> bool:
    """Say whether anything speaks HTTP there; a refusal is an answer too."""
    # Straight to this machine, whatever proxy the shell knows.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _seed(known: DemoSecrets) -> None:
    """Make sure both people exist and can sign in with the passwords that are printed."""
    from django.contrib.auth.models import User

    for name, password, is_admin in (("member", known.member_password, False), ("admin", known.admin_password, True)):
        person, _ = User.objects.get_or_create(username=name)
        person.is_staff = person.is_superuser = is_admin
        person.is_active = True
        if not person.check_password(password):
            person.set_password(password)
        person.save()
