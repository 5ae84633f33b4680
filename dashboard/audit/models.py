"""One row per action; rows are added and never changed."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from dashboard.audit.actions import AuditAction, Outcome


class AuditEntry(models.Model):
    """Who did what to which subject.

    The actor is an unconstrained key beside a copied name, so that deleting a user neither fails nor rewrites the
    record. ``details`` holds ids and choices, never prompts or answers (and so never a generated title either, which
    repeats the first question).
    """

    at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=40, choices=AuditAction.choices)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.SUCCESS)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    actor_name = models.CharField(max_length=150)
    subject_type = models.CharField(max_length=40, blank=True)
    subject_id = models.CharField(max_length=255, blank=True)
    subject_label = models.CharField(max_length=255, blank=True)
    details = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    ip = models.GenericIPAddressField("IP address", null=True)

    class Meta:
        app_label = "dashboard"
        ordering = ["-at", "-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["-at", "-id"], name="audit_newest"),
            models.Index(fields=["subject_type", "subject_id"], name="audit_subject"),
            models.Index(fields=["actor", "-at"], name="audit_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.get_action_display()} ({self.get_outcome_display()})"
