"""Cached sessions, their sources, and the attempts to create one."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from django.utils.functional import cached_property

from dashboard.chats.filters import ChatSessionQuerySet, may_see_sessions
from dashboard.chats.states import UNTITLED, LockState, RunState
from dashboard.rows import find, find_one

__all__ = ["ChatSession", "CreationAttempt", "LockState", "RunState", "SessionSource", "Visit"]


class ChatSession(models.Model):
    """A LlamaCloud chat session as its summary last described it (contract.md §6), plus what only this team knows.

    Local columns (``title``, ``owner``, ``follows``) are never overwritten by a refresh. ``job_*`` are the job metadata
    of the most recent run and are null until there was one. ``questions`` and ``is_running`` come from the event
    history, which is read only when it can have changed; ``questions`` is null until then and ``history_of`` says with
    which summary it was read.
    """

    session_id = models.CharField(max_length=255, unique=True)
    project_id = models.CharField(max_length=255, blank=True)
    generated_title = models.TextField(blank=True)
    shared_access = models.CharField(max_length=32, blank=True)
    is_bound = models.BooleanField("bound to sources", default=False)
    last_updated_at = models.DateTimeField()

    job_turns = models.PositiveIntegerField(null=True)
    job_duration_ms = models.FloatField(null=True)
    job_is_error = models.BooleanField(null=True)
    job_error = models.TextField(blank=True)
    job_input_tokens = models.PositiveBigIntegerField(null=True)
    job_output_tokens = models.PositiveBigIntegerField(null=True)
    job_export_config_ids = models.JSONField(null=True)

    questions = models.PositiveIntegerField(null=True)
    is_running = models.BooleanField(default=False)
    history_of = models.CharField("summary the history was read with", max_length=64, blank=True)

    first_asked_at = models.DateTimeField("first asked here", null=True, blank=True)

    title = models.CharField("title given here", max_length=200, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    follows = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="successors", verbose_name="successor of"
    )

    raw = models.JSONField("summary as LlamaCloud sent it", default=dict)
    first_seen_at = models.DateTimeField()
    synced_at = models.DateTimeField()
    gone_at = models.DateTimeField("no longer at LlamaCloud since", null=True, blank=True)

    objects = ChatSessionQuerySet.as_manager()

    class Meta:
        app_label = "dashboard"
        ordering = ["-last_updated_at", "-id"]
        verbose_name = "session"
        indexes = [
            models.Index(fields=["-last_updated_at", "-id"], name="session_newest"),
            models.Index(fields=["owner", "-last_updated_at", "-id"], name="session_owner_newest"),
            models.Index(fields=["synced_at"], name="session_sync"),
            # Few of many: without these, listing them reads every session.
            models.Index(
                fields=["-last_updated_at", "-id"], condition=models.Q(is_running=True), name="session_running"
            ),
            models.Index(
                fields=["-last_updated_at", "-id"], condition=models.Q(gone_at__isnull=False), name="session_gone"
            ),
        ]

    def __str__(self) -> str:
        return self.display_title[:80]

    @classmethod
    def seen_by(cls, actor: User | AnonymousUser, session_id: str) -> ChatSession | None:
        """The session with LlamaCloud's id, if this person may see it; ``visible_to`` is the same rule for many."""
        return find_one(cls, "session_id", session_id) if may_see_sessions(actor) else None

    @cached_property
    def source_ids(self) -> list[str]:
        """The ids of the bound set in LlamaCloud's order, as they were when first asked for."""
        if "sources" in getattr(self, "_prefetched_objects_cache", ()):
            return [source.index_id for source in self.sources.all()]
        found = find(SessionSource, "session_id", [self.pk])
        return [source.index_id for source in sorted(found, key=lambda source: source.position)]

    @property
    def known_questions(self) -> int | None:
        """How many questions there are; ``None`` when asked elsewhere since the history was read."""
        return None if self.questions == 0 and self.was_asked else self.questions

    @property
    def display_title(self) -> str:
        """The title people see: ours, else LlamaCloud's, else a plain word."""
        return self.title or self.generated_title or UNTITLED

    @property
    def has_run(self) -> bool:
        """Whether LlamaCloud reports a run (``job_metadata`` is not null)."""
        return self.job_turns is not None

    @property
    def was_asked(self) -> bool:
        """Whether a first question exists, by any of the signs LlamaCloud gives."""
        return bool(self.first_asked_at or self.generated_title or self.has_run or self.questions)

    @property
    def lock_state(self) -> LockState:
        """The state of the sources; ``in_lock_state`` is the same rule for the database."""
        if self.gone_at is not None:
            return LockState.GONE
        if not self.is_bound:
            return LockState.UNBOUND
        return LockState.LOCKED if self.was_asked else LockState.OPEN

    @property
    def run_state(self) -> RunState:
        """How the last run ended; ``in_run_state`` is the same rule for the database."""
        if self.is_running:
            return RunState.RUNNING
        if not self.has_run:
            return RunState.NEVER
        return RunState.FAILED if self.job_is_error else RunState.SUCCEEDED

    @property
    def audit_type(self) -> str:
        return "session"

    @property
    def audit_id(self) -> str:
        return self.session_id

    @property
    def audit_label(self) -> str:
        """Only a title given here: a generated one repeats the first question, which the record must not hold."""
        return self.title


class SessionSource(models.Model):
    """One index of a session's bound set, in LlamaCloud's order; the index itself may be unknown to the catalog."""

    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="sources")
    index_id = models.CharField(max_length=255)
    position = models.PositiveSmallIntegerField()

    class Meta:
        app_label = "dashboard"
        ordering = ["session_id", "position"]
        constraints = [models.UniqueConstraint(fields=["session", "index_id"], name="source_once_per_session")]
        indexes = [models.Index(fields=["index_id", "session"], name="source_index")]

    def __str__(self) -> str:
        return self.index_id


class Visit(models.Model):
    """When a person last opened a session: what is newer than that is unread."""

    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="visits")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    seen_at = models.DateTimeField()

    class Meta:
        app_label = "dashboard"
        constraints = [models.UniqueConstraint(fields=["user", "session"], name="visit_once")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.session_id}"


class CreationAttempt(models.Model):
    """One submission of the form, by its token: what makes creation idempotent here, because it is not upstream.

    ``claimed`` → ``created`` | ``refused`` | ``unknown`` → ``adopted``. Every step is a conditional update, so of any
    number of processes one wins.
    """

    class State(models.TextChoices):
        """Where an attempt stands."""

        CLAIMED = "claimed", "being created"
        CREATED = "created", "created"
        REFUSED = "refused", "refused, nothing was created"
        UNKNOWN = "unknown", "no answer, outcome not known"
        ADOPTED = "adopted", "found again after an unknown outcome"
        ABANDONED = "abandoned", "given up by the person, outcome not known"

    token = models.CharField(max_length=100, unique=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.CLAIMED)
    project_id = models.CharField(max_length=255, blank=True)
    index_ids = models.JSONField(null=True)
    shared_access = models.CharField(max_length=32, blank=True)
    confirmed_not_ready = models.JSONField("indexes confirmed although not ready", default=list)
    follows = models.ForeignKey(ChatSession, null=True, on_delete=models.SET_NULL, related_name="+")
    session = models.OneToOneField(ChatSession, null=True, on_delete=models.SET_NULL, related_name="attempt")
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.TextField(blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "dashboard"
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["state", "started_at"], name="attempt_state")]

    def __str__(self) -> str:
        return f"{self.get_state_display()} ({self.token})"
