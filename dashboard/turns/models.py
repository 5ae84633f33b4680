"""A turn, its event log while it runs, and its rendered answer when it has ended."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.safestring import SafeString

from dashboard.chats.models import ChatSession
from dashboard.rows import update
from dashboard.turns.states import LIVE, NOT_READ, TurnState

__all__ = ["AnswerPiece", "LogEntry", "Turn", "TurnState"]


class TurnQuerySet(models.QuerySet["Turn"]):
    """The words turns are asked for with."""

    def live(self) -> TurnQuerySet:
        """Those something is still to come of."""
        return self.filter(state__in=LIVE)

    def running(self) -> TurnQuerySet:
        """Those a process holds a lease on."""
        return self.filter(state=TurnState.RUNNING)

    def accepted(self) -> TurnQuerySet:
        """Those LlamaCloud's history may have: neither refused before an answer began, nor never sent."""
        return self.filter(error_code="")


class Turn(models.Model):
    """One question and its answer; also the ledger of what it took.

    Asked here, a turn has a person, a nonce and a lease; imported from the history of a session used elsewhere, it has
    none of them, and ``asked_at`` and ``finished_at`` are when it was imported: LlamaCloud's history tells no times, so
    these are shown to nobody. ``position`` is its place among the questions of LlamaCloud's own history, once known.
    """

    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=TurnState.choices, default=TurnState.QUEUED)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    nonce = models.CharField(max_length=100, null=True, unique=True)
    prompt = models.TextField()
    index_ids = models.JSONField("sources in force", default=list)
    require_all_indexes = models.BooleanField(default=False)
    retry_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="retries")
    position = models.PositiveIntegerField(null=True)
    history_before = models.PositiveIntegerField("questions at LlamaCloud before", default=0)

    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    first_token_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.FloatField(null=True)
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    upstream_turns = models.PositiveIntegerField(null=True)
    error = models.TextField(blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    skipped_index_ids = models.JSONField(default=list)
    tool_calls = models.PositiveIntegerField(default=0)
    passages = models.PositiveIntegerField(default=0)
    citations = models.JSONField(default=list)

    lease_until = models.DateTimeField(null=True)
    lease_holder = models.CharField(max_length=80, blank=True)
    stop_asked_at = models.DateTimeField(null=True)
    # Without an index, which every question would be entered in: it is looked for when a person is deleted.
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    log_pruned = models.BooleanField(default=False)

    objects = TurnQuerySet.as_manager()

    class Meta:
        app_label = "dashboard"
        # By the column: ordering by the relation would join its table, and its own ordering's, to every query.
        ordering = ["session_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["session", "number"], name="turn_number_once"),
            # However many processes read a history at once, each of its questions is imported by one of them.
            models.UniqueConstraint(fields=["session", "position"], name="turn_position_once"),
            # The one rule that no race can break: a session answers one question at a time.
            models.UniqueConstraint(fields=["session"], condition=Q(state__in=LIVE), name="turn_one_live_per_session"),
        ]
        indexes = [
            # Of all turns, not only of live ones: SQLite uses a partial index for no state that is a parameter.
            models.Index(fields=["state", "asked_at"], name="turn_state"),
            models.Index(fields=["finished_at"], name="turn_unpruned", condition=Q(log_pruned=False)),
        ]

    def __str__(self) -> str:
        return f"Question {self.number}"

    @property
    def anchor(self) -> SafeString:
        """The element that holds it on a page; what belongs to it there begins with this too."""
        return SafeString(f"turn-{self.number}")

    @property
    def is_live(self) -> bool:
        """Whether something is still to come."""
        return TurnState(self.state).is_live

    @property
    def is_orphaned(self) -> bool:
        """Whether its process is gone or let it go, as far as the lease tells; another one takes it over."""
        return self.state == TurnState.RUNNING and self.lease_until is not None and self.lease_until < timezone.now()

    @property
    def is_late(self) -> bool:
        """Whether LlamaCloud may have more of the answer than is here; ``standing.IS_LATE`` says the same."""
        if self.error_code == NOT_READ:
            return True
        was_stopped = self.state == TurnState.STOPPED and not self.error_code
        return self.position is None and (was_stopped or self.state == TurnState.INTERRUPTED)

    def end(self, state: TurnState, *, holder: str, **columns: Any) -> bool:
        """End the turn, once.

        Args:
            state: how it ended.
            holder: whose lease must still stand.
            columns: what else is known at the end.

        Returns:
            whether this call ended it; losers change nothing.
        """
        mine = {"state": LIVE, "lease_holder": [holder]}
        return update(Turn, self.pk, mine, state=state, lease_until=None, lease_holder="", **columns)


class LogEntry(models.Model):
    """One numbered event of a turn, append-only.

    ``data`` is LlamaCloud's JSON as it came (deltas joined to the frame of a beat); ``html`` what a watcher who has
    all earlier entries is sent. Frames are pruned when the complete text has arrived: a gap means "start from a
    snapshot".
    """

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="log")
    number = models.PositiveIntegerField()
    type = models.CharField(max_length=40)
    data = models.TextField()
    html = models.TextField(blank=True)
    tail = models.TextField(null=True)

    class Meta:
        app_label = "dashboard"
        ordering = ["turn_id", "number"]
        constraints = [models.UniqueConstraint(fields=["turn", "number"], name="entry_once")]

    def __str__(self) -> str:
        return f"{self.number} {self.type}"


class AnswerPiece(models.Model):
    """A rendered part of an answer, made once and shown as it is; long answers come in several of some 50 kB."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="pieces")
    position = models.PositiveIntegerField()
    html = models.TextField()

    class Meta:
        app_label = "dashboard"
        ordering = ["turn_id", "position"]
        constraints = [models.UniqueConstraint(fields=["turn", "position"], name="piece_once")]

    def __str__(self) -> str:
        return f"{self.position}"
