"""One row per kind of background work: its schedule, its lease and how far it has come."""

from __future__ import annotations

from django.db import models


class Job(models.Model):
    """A kind of work that fires once however many workers run.

    A step is claimed by a conditional update of ``lease_until``; a worker that dies simply lets its lease run out, and
    the next one goes on from ``cursor``.
    """

    name = models.CharField(max_length=40, unique=True)
    next_run_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    lease_holder = models.CharField(max_length=80, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    cursor = models.JSONField(null=True)
    last_started_at = models.DateTimeField(null=True)
    last_finished_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)
    runs = models.PositiveBigIntegerField(default=0)

    class Meta:
        app_label = "dashboard"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
