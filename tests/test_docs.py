"""The documents say what the code does."""

from __future__ import annotations

import re

import pytest
from django.core.management import get_commands

from dashboard.config import FROM_FILE, Config
from tests.processes import ROOT

README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def _first_cells(heading: str) -> set[str]:
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


def test_the_readme_lists_every_variable_and_no_other() -> None:
    assert _first_cells("Configuration") == {name.upper() for name in Config.model_fields}


def test_the_readme_names_the_variables_that_may_come_from_a_file() -> None:
    assert {f"{name.upper()}_FILE" for name in FROM_FILE} == set(re.findall(r"\b[A-Z_]+_FILE\b", README))


def test_the_readme_lists_every_command_and_no_other() -> None:
    ours = {f"manage.py {name}" for name, app in get_commands().items() if app == "dashboard"}
    assert _first_cells("Commands") == ours


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_path_and_link_named_exists(text: str) -> None:
    named = set(re.findall(r"\]\(((?!http)[^)#]+)\)", text)) | set(
        re.findall(r"`((?:dashboard|tests|templates|docs|static)/[\w./]+\w)`", text)
    )
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize("room", ["upstream", "audit", "access", "catalog", "chats", "turns", "jobs", "web"])
def test_the_map_of_the_house_names_every_file_of_a_room_and_no_other(room: str) -> None:
    its_lines = re.search(rf"^  {room}/.*\n(?:   .*\n)*", ARCHITECTURE, re.MULTILINE)
    assert its_lines is not None
    there = {path.name for path in (ROOT / "dashboard" / room).glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"\b\w+\.py\b", its_lines[0])) == there


def test_every_room_is_described() -> None:
    rooms = {path.parent.name for path in (ROOT / "dashboard").glob("*/__init__.py")}
    plumbing = {"management", "migrations", "templatetags"}
    named = set(re.findall(r"`(\w+)`", CONTRIBUTING.split("| room |")[1].split("\n\n")[0]))
    assert rooms - plumbing <= named
