"""LlamaCloud as the rest of Corral sees it: typed calls, typed answers, typed failures. No Django in here.

Public names: the client :class:`LlamaCloud`; what it answers (``Project``, ``Index``, ``ChatSummary``, ``ChatDetail``,
``PresignedUrl``, in a ``Page`` or a ``Listing``); what it is given (``SessionCreate``, ``ChatParams``);
the events of a turn (``Event`` and its kinds, ``read_event``); bytes to events (``SseDecoder``); the error tree under
``UpstreamError``, drawn in :mod:`dashboard.upstream.errors`.

May be imported by catalog, chats, turns, jobs and management commands. ``localcloud`` may import
:mod:`dashboard.upstream.contract` and nothing else of this room; ``web`` imports nothing but the public names.
"""

from __future__ import annotations

from dashboard.upstream.client import ChatPage, LlamaCloud
from dashboard.upstream.contract import (
    EVENT_TYPES,
    MAX_PROMPT_CHARACTERS,
    MAX_SESSION_INDEXES,
    AttachmentRef,
    ChatDetail,
    ChatParams,
    ChatSummary,
    Event,
    Index,
    JobMetadata,
    KnownEvent,
    PresignedUrl,
    Project,
    SessionCreate,
    SharedAccess,
    Stop,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    UnknownEvent,
    Usage,
    UserInput,
    read_event,
)
from dashboard.upstream.errors import (
    AccessRefused,
    AnswerLost,
    BadRequest,
    Conflict,
    CreditsExhausted,
    Invalid,
    KeyRejected,
    NotFound,
    Outcome,
    RateLimited,
    RedirectRefused,
    Refusal,
    Unreachable,
    UnreadableAnswer,
    UpstreamError,
    UpstreamFailed,
)
from dashboard.upstream.paging import Listing, Page
from dashboard.upstream.sse import ServerEvent, SseDecoder
from dashboard.upstream.stream import Sign, TurnStream

__all__ = [
    "EVENT_TYPES",
    "MAX_PROMPT_CHARACTERS",
    "MAX_SESSION_INDEXES",
    "AccessRefused",
    "AnswerLost",
    "AttachmentRef",
    "BadRequest",
    "ChatDetail",
    "ChatPage",
    "ChatParams",
    "ChatSummary",
    "Conflict",
    "CreditsExhausted",
    "Event",
    "Index",
    "Invalid",
    "JobMetadata",
    "KeyRejected",
    "KnownEvent",
    "Listing",
    "LlamaCloud",
    "NotFound",
    "Outcome",
    "Page",
    "PresignedUrl",
    "Project",
    "RateLimited",
    "RedirectRefused",
    "Refusal",
    "ServerEvent",
    "SessionCreate",
    "SharedAccess",
    "Sign",
    "SseDecoder",
    "Stop",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "ToolCall",
    "ToolResult",
    "TurnStream",
    "UnknownEvent",
    "Unreachable",
    "UnreadableAnswer",
    "UpstreamError",
    "UpstreamFailed",
    "Usage",
    "UserInput",
    "read_event",
]
