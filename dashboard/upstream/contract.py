"""LlamaCloud's words: the objects on the wire, read tolerantly (contract.md §3–§8, §14).

Reading never fails over a field this project does not need: an absent, null or odd optional value becomes ``None``,
an unknown event becomes :class:`UnknownEvent`, an unknown field is kept in :attr:`Wire.raw`. Only what makes an
object unusable (a session without an id) is refused, with pydantic's ``ValidationError``.

What LlamaCloud says went wrong has been cleaned before it is read here (``clean_event`` in ``failures.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

MAX_SESSION_INDEXES = 10
"""Indexes one session may be bound to (contract.md §6)."""
MAX_PROMPT_CHARACTERS = 1000
"""Unicode code points in one question (contract.md §7, §14.13)."""

SharedAccess = Literal["query", "read_only"]


def _none_if_odd(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


def _read_time(value: Any) -> datetime | None:
    """Read an ISO timestamp; naive ones are UTC (contract.md §1), odd ones unknown."""
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(when, datetime):
            return None
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        # OverflowError: year 1 or 9999 with an offset has no UTC.
        return None


_Odd = WrapValidator(_none_if_odd)
MaybeText = Annotated[str | None, _Odd]
# More than any run takes, and so little that the sum of a million runs is still a number in every database.
MaybeCount = Annotated[int | None, Field(ge=0, le=10**12), _Odd]
MaybeFew = Annotated[int | None, Field(ge=0, le=2**31 - 1), _Odd]
MaybeMilliseconds = Annotated[float | None, Field(ge=0, le=1e12, allow_inf_nan=False), _Odd]
MaybeFlag = Annotated[bool | None, _Odd]
When = Annotated[datetime | None, BeforeValidator(_read_time)]
Texts = Annotated[tuple[str, ...] | None, _Odd]


class Wire(BaseModel):
    """An object as LlamaCloud sent it; :attr:`raw` is the JSON verbatim."""

    # A slot and not one of pydantic's private attributes: those cost ten calls for every token of an answer.
    __slots__ = ("_json",)
    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_raw(cls, data: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        built = read(data)
        return built.read_from(data) if isinstance(data, dict) else built

    def read_from(self, raw: dict[str, Any]) -> Self:
        """The same object, which was read from this JSON object."""
        object.__setattr__(self, "_json", raw)
        return self

    @property
    def raw(self) -> dict[str, Any]:
        """The JSON object this was read from, unchanged."""
        json: dict[str, Any] = getattr(self, "_json", {})
        return json

    def __copy__(self) -> Self:
        return super().__copy__().read_from(self.raw)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super().__deepcopy__(memo).read_from(self.raw)


class Project(Wire):
    """A project (contract.md §4); the v1 and v2 calls answer the same fields."""

    id: str = Field(min_length=1)
    name: str
    organization_id: MaybeText = None
    is_default: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    created_at: When = None
    updated_at: When = None


class Index(Wire):
    """A document index, V2 (contract.md §5). Chat takes :attr:`id`; retrieval prefers :attr:`export_config_id`."""

    id: str = Field(min_length=1)
    name: str
    description: MaybeText = None
    project_id: MaybeText = None
    source_directory_id: MaybeText = None
    output_directory_id: MaybeText = None
    sync_config_id: MaybeText = None
    export_config_id: MaybeText = None
    created_at: When = None
    updated_at: When = None
    last_synced_at: When = None
    last_exported_at: When = None
    metadata: Annotated[dict[str, Any] | None, _Odd] = None
    sync_in_progress: MaybeFlag = None

    @property
    def status(self) -> str | None:
        """``metadata.status``: only ``ready`` and ``failed`` are stable words (contract.md §5)."""
        status = (self.metadata or {}).get("status")
        return status if isinstance(status, str) else None


def _read_turns(value: Any) -> int:
    """Upstream's own default is 1 (contract.md §6)."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else 1


class JobMetadata(Wire):
    """The most recent run of a session (contract.md §6); every field is optional upstream."""

    turns: Annotated[int, BeforeValidator(_read_turns)] = 1
    duration_ms: MaybeMilliseconds = 0.0
    is_error: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    error: MaybeText = None
    total_input_tokens: MaybeCount = None
    total_output_tokens: MaybeCount = None
    export_config_ids: Texts = None


def _read_job(value: Any) -> Any:
    """Anything but null means the session has run, even when its figures cannot be read (unknown counts as locked)."""
    return value if value is None or isinstance(value, Mapping | JobMetadata) else {}


class ChatSummary(Wire):
    """A chat session's summary (contract.md §6). ``index_ids`` is ``None`` on unbound sessions."""

    session_id: str = Field(min_length=1, max_length=255)
    last_updated_at: When = None
    shared_access: MaybeText = None
    generated_title: MaybeText = None
    index_ids: Annotated[tuple[str, ...] | None, BeforeValidator(lambda value: value or None)] = None
    job_metadata: Annotated[JobMetadata | None, BeforeValidator(_read_job)] = None


class AttachmentRef(Wire):
    """Coordinates of a page image (contract.md §8)."""

    source_id: str
    attachment_name: str


class PresignedUrl(Wire):
    """A short-lived address of an attachment: resolve on demand, never store, never log (contract.md §8)."""

    url: str = Field(repr=False)
    expires_at: When = None


class Usage(Wire):
    """What one turn consumed (contract.md §7)."""

    total_input_tokens: MaybeCount = None
    total_output_tokens: MaybeCount = None
    turns: MaybeFew = 1
    duration_ms: MaybeMilliseconds = 0.0


class TextDelta(Wire):
    """A piece of the answer."""

    type: Literal["text_delta"] = "text_delta"
    content: str


class ThinkingDelta(Wire):
    """A piece of reasoning."""

    type: Literal["thinking_delta"] = "thinking_delta"
    content: str


class UserInput(Wire):
    """The question that opens a turn."""

    type: Literal["user_input"] = "user_input"
    content: str


class Thinking(Wire):
    """A whole block of reasoning; it replaces the deltas before it."""

    type: Literal["thinking"] = "thinking"
    content: str


class ToolCall(Wire):
    """The agent calls a tool; tool names are not published and never special-cased."""

    type: Literal["tool_call"] = "tool_call"
    call_id: str
    name: str
    arguments: Annotated[dict[str, Any] | None, _Odd] = None


class ToolResult(Wire):
    """What a tool answered: any JSON, paired with its call by ``call_id``."""

    type: Literal["tool_result"] = "tool_result"
    call_id: str
    name: str
    result: Any = None
    image_attachment: Annotated[AttachmentRef | None, _Odd] = None


class Text(Wire):
    """A whole block of the answer; it replaces the deltas before it."""

    type: Literal["text"] = "text"
    content: str


class Stop(Wire):
    """The end of a turn (contract.md §7): nothing after it counts."""

    type: Literal["stop"] = "stop"
    is_error: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    error: MaybeText = None
    usage: Annotated[Usage | None, _Odd] = None
    skipped_index_ids: Texts = None


class UnknownEvent(Wire):
    """An event of a type this project does not know, or one whose fields cannot be read: kept, never dropped."""

    type: str = ""


KnownEvent = TextDelta | ThinkingDelta | UserInput | Thinking | ToolCall | ToolResult | Text | Stop
Event = KnownEvent | UnknownEvent
EVENT_TYPES: dict[str, type[KnownEvent]] = {kind.model_fields["type"].default: kind for kind in get_args(KnownEvent)}
Delta = TextDelta | ThinkingDelta
DELTA_TYPES: dict[str, type[Delta]] = {kind.model_fields["type"].default: kind for kind in get_args(Delta)}
"""Pieces of a block, which come in great numbers."""


def read_event(raw: Mapping[str, Any]) -> Event:
    """Read one event of the stream or of the history.

    Args:
        raw: the decoded JSON object; ``type`` is the discriminator (contract.md §7).

    Returns:
        the matching event, or :class:`UnknownEvent` holding the JSON when type or fields are not understood. An end
        without its type is still an end: ``type`` may be missing (contract.md §14.2) and no other event has
        ``is_error``.
    """
    raw = dict(raw)
    kind = raw.get("type", "stop" if "is_error" in raw else None)
    known = EVENT_TYPES.get(kind) if isinstance(kind, str) else None
    if known is not None:
        try:
            return known.model_validate(raw)
        except ValidationError:
            pass
    return UnknownEvent(type=kind if isinstance(kind, str) else "").read_from(raw)


def _read_history(value: Any) -> tuple[Event, ...]:
    """Every row of the history; one that is no object is kept as an unknown event.

    Raises:
        ValueError: not a list, so that nothing is known about what was asked and answered.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ValueError("the history is not a list")
    return tuple(read_event(row if isinstance(row, Mapping) else {"value": row}) for row in value)


class ChatDetail(ChatSummary):
    """A summary with the session's whole event history, oldest first (contract.md §6)."""

    events: Annotated[tuple[Event, ...], PlainValidator(_read_history)]


class SessionCreate(BaseModel):
    """The body of the creation call (contract.md §6); ``index_ids`` is null for an unbound session."""

    model_config = ConfigDict(frozen=True)
    index_ids: Annotated[list[str], Field(max_length=MAX_SESSION_INDEXES)] | None = None
    shared_access: SharedAccess | None = None


class ChatParams(BaseModel):
    """The body of the stream call (contract.md §7)."""

    model_config = ConfigDict(frozen=True)
    index_ids: Annotated[list[str], Field(min_length=1)]
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS)]
    require_all_indexes: bool = False
