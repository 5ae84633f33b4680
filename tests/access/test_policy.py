"""Who may do what, and the reason when not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User

from dashboard.access.policy import Decision, NotAllowed, Owned, may_delete, may_rename

Rule = Callable[[User, Owned], Decision]
RULES: list[tuple[Rule, str]] = [(may_rename, "rename"), (may_delete, "delete")]
pytestmark = pytest.mark.django_db


@dataclass
class Thing:
    """Anything that may belong to somebody."""

    owner_id: int | None


@pytest.mark.parametrize(("may", "verb"), RULES)
def test_owner_and_administrator_may(may: Rule, verb: str, ada: User, cy: User) -> None:
    for person in (ada, cy):
        decision = may(person, Thing(ada.pk))
        assert decision
        assert (decision.allowed, decision.reason) == (True, "")


@pytest.mark.parametrize(("may", "verb"), RULES)
def test_anybody_else_may_not_and_learns_why(may: Rule, verb: str, ada: User, ben: User) -> None:
    for owner in (ada.pk, None):
        decision = may(ben, Thing(owner))
        assert not decision
        assert decision.reason == f"Only the person who created this session or an administrator can {verb} it."


@pytest.mark.parametrize(("may", "verb"), RULES)
def test_nobodys_session_is_the_administrators(may: Rule, verb: str, cy: User) -> None:
    assert may(cy, Thing(None))


def test_somebody_without_an_account_owns_nothing() -> None:
    assert not may_rename(User(), Thing(None))


def test_not_allowed_says_the_reason() -> None:
    error = NotAllowed(Decision(False, "Only on Mondays."))
    assert (error.sentence, str(error), error.status) == ("Only on Mondays.", "Only on Mondays.", 403)
