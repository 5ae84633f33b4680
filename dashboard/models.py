"""Django looks for an app's tables here; they live in the rooms."""

from dashboard.audit.models import AuditEntry
from dashboard.catalog.models import Index, Project
from dashboard.chats.models import ChatSession, CreationAttempt, SessionSource, Visit
from dashboard.jobs.models import Job
from dashboard.turns.models import AnswerPiece, LogEntry, Turn

__all__ = [
    "AnswerPiece",
    "AuditEntry",
    "ChatSession",
    "CreationAttempt",
    "Index",
    "Job",
    "LogEntry",
    "Project",
    "SessionSource",
    "Turn",
    "Visit",
]
