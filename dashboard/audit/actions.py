"""The vocabulary of the record: every action has a stable dotted name and a sentence for people."""

from __future__ import annotations

from django.db import models


class AuditAction(models.TextChoices):
    """What a person did. Names are never renamed or reused: old rows keep them."""

    SESSION_CREATED = "session.created", "created a session"
    SESSION_ADOPTED = "session.adopted", "was given the session an unanswered creation had made"
    SESSION_GIVEN_UP = "session.given_up", "gave up a session whose creation was not confirmed"
    SESSION_VIEWED = "session.viewed", "opened a session"
    SESSION_RENAMED = "session.renamed", "renamed a session"
    SESSION_DELETION_ASKED = "session.deletion_asked", "asked LlamaCloud to delete a session"
    SESSION_DELETED = "session.deleted", "deleted a session"
    TURN_ASKED = "turn.asked", "asked a question"
    TURN_STOPPED = "turn.stopped", "stopped an answer"
    INSTANCE_SET_UP = "instance.set_up", "made the first administrator"


class Outcome(models.TextChoices):
    """How it ended: ``failed`` is a fault or refusal further down, ``denied`` our own policy."""

    SUCCESS = "success", "worked"
    FAILED = "failed", "failed"
    DENIED = "denied", "not allowed"
