"""What the room shows to the others, and what its errors promise."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
from pydantic import BaseModel

import dashboard.upstream
from dashboard.errors import DashboardError
from dashboard.upstream import UpstreamError, contract, errors


def kinds() -> list[type[UpstreamError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, UpstreamError)]


def test_the_public_names_are_sorted_and_exist() -> None:
    names = dashboard.upstream.__all__
    by_kind = sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert names == by_kind
    assert len(set(names)) == len(names)
    assert all(hasattr(dashboard.upstream, name) for name in names)


def test_every_model_and_every_error_is_public() -> None:
    models = {
        name
        for name, kind in inspect.getmembers(contract, inspect.isclass)
        if issubclass(kind, BaseModel) and kind.__module__ == contract.__name__
    } - {"Wire"}
    assert models | {kind.__name__ for kind in kinds()} <= set(dashboard.upstream.__all__)


def test_the_room_needs_no_django() -> None:
    script = "import sys, dashboard.upstream; print([name for name in sys.modules if name.split('.')[0] == 'django'])"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_every_error_is_drawn_in_the_tree() -> None:
    assert errors.__doc__ is not None
    for kind in kinds():
        assert re.search(rf"\b{kind.__name__}\b", errors.__doc__)


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_an_error_speaks_plainly(kind: type[UpstreamError]) -> None:
    assert issubclass(kind, DashboardError)
    assert 400 <= kind.status <= 599
    # Two sentences at least: what happened, and what to do next.
    assert kind.sentence.count(". ") >= 1
    assert kind.sentence.endswith(".")
    assert not re.search(r"https?:|llx-|Traceback|API|HTTP|JSON|\b[45]\d\d\b", kind.sentence)
    assert kind.outcome in ("refused", "unknown")
    if kind.outcome == "unknown" and kind is not UpstreamError:
        assert "not certain" in kind.sentence
