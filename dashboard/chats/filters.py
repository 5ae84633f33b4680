"""The words sessions are asked for with, used alike by pages, admin, commands and tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from django.db.models import ExpressionWrapper, F, FilteredRelation, Q

from dashboard.catalog.models import MAX_WORDS
from dashboard.chats.states import UNTITLED, LockState, RunState

if TYPE_CHECKING:
    from dashboard.chats.models import ChatSession  # noqa: F401  # named in the base class below

_NOT_ASKED = Q(first_asked_at=None, generated_title="", job_turns=None) & (Q(questions=None) | Q(questions=0))
_ASKED = Q(first_asked_at__isnull=False) | ~Q(generated_title="") | Q(job_turns__isnull=False) | Q(questions__gt=0)
_LOCK_STATES = {
    LockState.GONE: Q(gone_at__isnull=False),
    LockState.UNBOUND: Q(gone_at=None, is_bound=False),
    LockState.OPEN: Q(gone_at=None, is_bound=True) & _NOT_ASKED,
    LockState.LOCKED: Q(gone_at=None, is_bound=True) & _ASKED,
}
_RUN_STATES = {
    RunState.RUNNING: Q(is_running=True),
    RunState.NEVER: Q(is_running=False, job_turns=None),
    RunState.FAILED: Q(is_running=False, job_turns__isnull=False, job_is_error=True),
    RunState.SUCCEEDED: Q(is_running=False, job_turns__isnull=False) & (Q(job_is_error=False) | Q(job_is_error=None)),
}


def may_see_sessions(actor: User | AnonymousUser) -> bool:
    """Who comes through the door: anyone who is signed in."""
    return actor.is_authenticated and actor.is_active


class ChatSessionQuerySet(models.QuerySet["ChatSession"]):
    """The words sessions are asked for with."""

    def visible_to(self, actor: User | AnonymousUser) -> ChatSessionQuerySet:
        """The door every page goes through: all sessions for anyone who is signed in, none for anyone else."""
        return self.all() if may_see_sessions(actor) else self.none()

    def present(self) -> ChatSessionQuerySet:
        """Those LlamaCloud still has."""
        return self.filter(gone_at=None)

    def in_lock_state(self, state: LockState) -> ChatSessionQuerySet:
        """Those whose lock is in this state; the same rule as ``ChatSession.lock_state``."""
        return self.filter(_LOCK_STATES[state])

    def in_run_state(self, state: RunState) -> ChatSessionQuerySet:
        """Those whose last run is in this state; the same rule as ``ChatSession.run_state``."""
        return self.filter(_RUN_STATES[state])

    def titled_like(self, words: str) -> ChatSessionQuerySet:
        """Those whose shown title holds every one of these words."""
        found = self
        for word in words.split()[:MAX_WORDS]:
            match = Q(title__icontains=word) | Q(title="", generated_title__icontains=word)
            if word.lower() in UNTITLED.lower():
                match |= Q(title="", generated_title="")
            found = found.filter(match)
        return found

    def over_source(self, index_id: str) -> ChatSessionQuerySet:
        """Those bound to this index."""
        return self.filter(sources__index_id=index_id)

    def over_any_source(self, index_ids: Iterable[str] | models.QuerySet[Any, Any]) -> ChatSessionQuerySet:
        """Those bound to at least one of these indexes, each once; a query for the ids stays a query."""
        from dashboard.chats.models import SessionSource  # which needs this file first

        return self.filter(pk__in=SessionSource.objects.filter(index_id__in=index_ids).order_by().values("session"))

    def in_projects(self, project_ids: Iterable[str]) -> ChatSessionQuerySet:
        """Those of these projects."""
        return self.filter(project_id__in=project_ids)

    def owned_by(self, people: Iterable[User]) -> ChatSessionQuerySet:
        """Those created here by one of these people."""
        return self.filter(owner__in=people)

    def unowned(self) -> ChatSessionQuerySet:
        """Those created outside Corral, or by somebody whose account is gone."""
        return self.filter(owner=None)

    def failed_with(self, words: str) -> ChatSessionQuerySet:
        """Those whose last run failed with a message that holds these words, in this order."""
        return self.in_run_state(RunState.FAILED).filter(job_error__icontains=words)

    def found_by(self, words: str) -> ChatSessionQuerySet:
        """The sessions whose LlamaCloud id starts with this, if there are any; else those titled like it."""
        by_id = self.filter(session_id__startswith=words)
        return by_id if by_id.exists() else self.titled_like(words)

    def with_unread(self, person: User) -> ChatSessionQuerySet:
        """Each marked ``unread`` when something ended in it since this person last opened it."""
        newer = Q(visit__seen_at__lt=F("last_updated_at"), is_running=False)
        return self.annotate(
            visit=FilteredRelation("visits", condition=Q(visits__user=person)),
            unread=ExpressionWrapper(newer, output_field=models.BooleanField()),
        )

    def newest_first(self) -> ChatSessionQuerySet:
        """By last activity, in the one order that pages of the list rely on."""
        return self.order_by("-last_updated_at", "-id")

    def older_than(self, at: datetime, pk: int) -> ChatSessionQuerySet:
        """Those that follow this place in ``newest_first``."""
        # The first bound says nothing new, but lets the database start at the place instead of reading up to it.
        return self.filter(Q(last_updated_at__lt=at) | Q(last_updated_at=at, id__lt=pk), last_updated_at__lte=at)

    def newer_than(self, at: datetime, pk: int) -> ChatSessionQuerySet:
        """Those that precede this place in ``newest_first``."""
        return self.filter(Q(last_updated_at__gt=at) | Q(last_updated_at=at, id__gt=pk), last_updated_at__gte=at)

    def without_json(self) -> ChatSessionQuerySet:
        """Without the verbatim JSON, which no list needs."""
        return self.defer("raw", "job_export_config_ids")
