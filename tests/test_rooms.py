"""The arrows between rooms hold, and the test that says so would notice a broken one."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dashboard.turns
from tests.processes import ROOT

LINT = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_arrows_point_down() -> None:
    done = lint(ROOT)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("room", "line", "contract"),
    [
        ("catalog", "from dashboard.chats import models", "Arrows point down"),
        ("upstream", "import django.conf", "upstream knows no Django"),
        ("audit", "from dashboard.upstream import LlamaCloud", "Who did what"),
        ("localcloud", "from dashboard.upstream import errors", "localcloud shares only the contract"),
        ("web", "from dashboard.localcloud import serve", "Nobody but its command"),
        ("web", "from dashboard.upstream import transport", "upstream is used by its public names"),
        ("web", "import requests", "Pages talk to LlamaCloud"),
        ("chats", "from dashboard.config import Config", "Only the wiring reads the environment"),
    ],
)
def test_an_arrow_pointing_up_is_noticed(tmp_path: Path, room: str, line: str, contract: str) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "dashboard", tmp_path / "dashboard", ignore=shutil.ignore_patterns("__pycache__", "samples"))
    (tmp_path / "dashboard" / room / "shortcut.py").write_text(f"{line}\n")

    done = lint(tmp_path)

    assert done.returncode == 1
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert any(text.startswith(contract) for text in broken), done.stdout


def test_of_turns_everybody_uses_its_public_names_only() -> None:
    public = set(re.findall(r"``(\w+)``", dashboard.turns.__doc__ or ""))
    used: set[str] = set()
    for path in (ROOT / "dashboard").rglob("*.py"):
        if path.parent.name in ("turns", "migrations") or path == ROOT / "dashboard" / "models.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dashboard.turns"):
                used.update(alias.name for alias in node.names)
    assert used
    assert used <= public, used - public
