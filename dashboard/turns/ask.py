"""Asking: exactly once per form, one question at a time per session."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from dashboard.audit.actions import AuditAction
from dashboard.audit.trail import Origin, record
from dashboard.catalog.models import Index
from dashboard.chats.models import ChatSession, LockState
from dashboard.errors import DashboardError
from dashboard.rows import execute, find_one, hold, insert
from dashboard.turns.ending import NEVER_SENT, take_back
from dashboard.turns.lease import LEASE, lock_person
from dashboard.turns.models import Turn
from dashboard.turns.runners import Runners
from dashboard.turns.standing import standing
from dashboard.turns.states import NOT_READ, TurnState
from dashboard.upstream import MAX_PROMPT_CHARACTERS, MAX_SESSION_INDEXES

RETRY = "retry-"
"""How the nonce of "Ask again" begins; the key of the turn follows."""


class TurnRunning(DashboardError):
    """The session is answering another question."""

    code = "turn_running"
    status = 409
    sentence = (
        "This session is still answering another question. Your question is kept: wait for that answer, then ask again."
    )

    def __init__(self, turn: Turn | None) -> None:
        super().__init__()
        self.turn = turn


class TooManyWaiting(DashboardError):
    """The person has more questions under way than anybody may."""

    code = "too_many_waiting"
    status = 429
    sentence = "You already have as many questions under way as one person can. Your question is kept: ask it later."

    def __init__(self) -> None:
        super().__init__(retry_after=15)


class SessionGone(DashboardError):
    """LlamaCloud no longer has the session."""

    code = "session_gone"
    status = 409
    sentence = (
        "LlamaCloud no longer has this session, so it cannot answer. Your question is kept: start a new session with"
        " the same sources and ask it there."
    )


class BadQuestion(DashboardError):
    """The question cannot be sent as it is."""

    code = "bad_question"
    status = 422

    def __init__(self, sentence: str) -> None:
        super().__init__()
        self.sentence = sentence


class OtherForm(BadQuestion):
    """The form's nonce is another form's."""

    def __init__(self) -> None:
        super().__init__("This form cannot be used any more. Your question is kept: ask it with this one.")


def ask(
    runners: Runners,
    session: ChatSession,
    *,
    actor: User,
    prompt: str,
    nonce: str,
    origin: Origin,
    index_ids: tuple[str, ...] = (),
    require_all_indexes: bool = False,
    retry_of: Turn | None = None,
) -> Turn:
    """Ask a question once, however often the form is sent.

    Args:
        runners: what runs turns in this process.
        session: where to ask.
        actor: who asks.
        prompt: 1 to 1,000 Unicode code points; blanks around it do not count.
        nonce: the form's own; a second submission returns the first one's turn, if it says the same.
        origin: where the request came from.
        index_ids: for a session whose sources are chosen with each question: 1 to 10; ignored otherwise, because a
            bound session is sent exactly its bound set (contract.md §6).
        require_all_indexes: whether the turn fails if a source cannot be read.
        retry_of: the turn this one repeats.

    Returns:
        the turn, running or queued; its session's lock is closed.

    Raises:
        BadQuestion, SessionGone, TurnRunning, TooManyWaiting: nothing was asked.
    """
    # LlamaCloud may store it so (contract.md §14.13), and a question is found again by its words.
    prompt = prompt.strip()
    if (again := _sent_before(session, actor, nonce)) is not None:
        return _as_it_was(again, prompt, index_ids, require_all_indexes)
    sources = _sources(session, index_ids)
    _check(session, prompt)
    turn = Turn(
        session=session,
        asked_by=actor,
        nonce=nonce,
        prompt=prompt,
        index_ids=list(sources),
        require_all_indexes=require_all_indexes,
        retry_of=retry_of,
        asked_at=timezone.now(),
    )
    try:
        with transaction.atomic():
            _store(runners, turn, actor, origin)
    except IntegrityError:
        if (again := _sent_before(session, actor, nonce)) is not None:
            return _as_it_was(again, prompt, index_ids, require_all_indexes)
        raise TurnRunning(Turn.objects.live().filter(session=session).first()) from None
    # What the statement has made of it, for whoever shows the session next.
    session.first_asked_at = session.first_asked_at or turn.asked_at
    session.is_running, session.questions = True, (session.questions or 0) + 1
    if turn.state == TurnState.RUNNING:
        runners.start(turn)
    else:
        runners.keep()
    return turn


def retry(runners: Runners, turn: Turn, *, actor: User, origin: Origin) -> Turn:
    """Ask a question again that was not answered: a new turn, made once however often the button is pressed.

    Args:
        runners: what runs turns in this process.
        turn: the turn to repeat: its words, its sources, its rule for sources that cannot be read.
        actor: who asks again, perhaps somebody else.
        origin: where the request came from.

    Raises:
        BadQuestion, SessionGone, TurnRunning, TooManyWaiting: nothing was asked.
    """
    if turn.is_live or turn.state in (TurnState.ANSWERED, TurnState.RECOVERED) or turn.error_code == NOT_READ:
        raise BadQuestion("This question has been answered, or is being answered. Ask a new one.")
    nonce = f"{RETRY}{turn.pk}"
    again = Turn.objects.filter(nonce=nonce, session=turn.session_id)
    if (made := again.first()) is not None:
        return made
    try:
        return ask(
            runners,
            turn.session,
            actor=actor,
            prompt=turn.prompt,
            nonce=nonce,
            origin=origin,
            index_ids=tuple(turn.index_ids),
            require_all_indexes=turn.require_all_indexes,
            retry_of=turn,
        )
    except OtherForm:
        # Somebody else has pressed the button at the same moment, and was first.
        return again.get()


def _sent_before(session: ChatSession, actor: User, nonce: str) -> Turn | None:
    """The turn this form made already.

    Raises:
        OtherForm: somebody else's form had the same nonce, which no form of ours has.
    """
    again = find_one(Turn, "nonce", nonce)
    if again is None:
        return None
    if (again.session_id, again.asked_by_id) != (session.pk, actor.pk):
        raise OtherForm
    again.session = session
    return again


def _as_it_was(turn: Turn, prompt: str, index_ids: tuple[str, ...], require_all_indexes: bool) -> Turn:
    """The turn, if the form says what it said when the turn was made.

    Raises:
        TurnRunning, OtherForm: somebody saw no answer to the first sending and changed the question before the second.
    """
    said = (prompt, require_all_indexes, [] if turn.session.is_bound else list(dict.fromkeys(index_ids)))
    if said == (turn.prompt, turn.require_all_indexes, [] if turn.session.is_bound else turn.index_ids):
        return turn
    raise TurnRunning(turn) if turn.is_live else OtherForm


def _store(runners: Runners, turn: Turn, actor: User, origin: Origin) -> None:
    """The question, the lock it closes, and the record of it: all or nothing."""
    session = turn.session
    lock_person(actor.pk)
    # The session's own row is the queue for numbers: who imports its history waits here too.
    hold(ChatSession, session.pk)
    # Asked before the insert: PostgreSQL would wait there for the turn's own end, which waits for the session's row.
    known = standing(session.pk, actor.pk, turn.nonce)
    if known.in_the_way:
        raise IntegrityError("asked already, or another question is under way")
    if known.too_many:
        raise TooManyWaiting
    turn.number = known.last_number + 1
    turn.history_before = 0 if known.last_position is None else known.last_position + 1
    if not runners.closing and known.may_run_at_once:
        turn.state, turn.started_at = TurnState.RUNNING, turn.asked_at
        turn.lease_until, turn.lease_holder = turn.asked_at + LEASE, runners.holder
    insert(turn)
    execute(_LOCK_SESSION, turn.asked_at, True, session.pk)
    record(
        AuditAction.TURN_ASKED,
        actor=actor,
        origin=origin,
        subject=session,
        turn=turn.number,
        index_ids=turn.index_ids,
        require_all_indexes=turn.require_all_indexes,
    )


_LOCK_SESSION = f"""
    UPDATE "{ChatSession._meta.db_table}"
    SET first_asked_at = COALESCE(first_asked_at, %s), is_running = %s, questions = COALESCE(questions, 0) + 1
    WHERE id = %s
"""  # noqa: S608  # our own names


def _sources(session: ChatSession, chosen: tuple[str, ...]) -> tuple[str, ...]:
    if session.is_bound:
        bound = tuple(session.source_ids)
        if not bound:
            raise BadQuestion("The sources of this session are not known, so it cannot be asked here.")
        return bound
    sources = tuple(dict.fromkeys(chosen))
    if not sources:
        raise BadQuestion("Choose at least one source for this question. Your question is kept.")
    if len(sources) > MAX_SESSION_INDEXES:
        raise BadQuestion(f"Choose at most {MAX_SESSION_INDEXES} sources for one question. Your question is kept.")
    known = Index.objects.present().filter(project_id=session.project_id, pk__in=sources)
    if any("\0" in source for source in sources) or known.count() < len(sources):
        raise BadQuestion("Choose sources from the list. Your question is kept.")
    return sources


def _check(session: ChatSession, prompt: str) -> None:
    if session.lock_state == LockState.GONE:
        raise SessionGone
    if "\0" in prompt:
        raise BadQuestion("Your question holds a character that no text has. Type it again without it.")
    if not prompt.strip():
        raise BadQuestion("Type a question first.")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        over = len(prompt) - MAX_PROMPT_CHARACTERS
        raise BadQuestion(
            f"Your question is {over:,} character{'s' if over != 1 else ''} too long:"
            f" LlamaCloud takes {MAX_PROMPT_CHARACTERS:,} at most. It is kept below: shorten it and ask again."
        )


def stop(runners: Runners, turn: Turn, *, actor: User, origin: Origin) -> None:
    """Stop reading an answer at once; LlamaCloud has no call to cancel one and may still finish it.

    Args:
        runners: what runs turns in this process.
        turn: the turn; one that has ended stays as it is.
        actor: who asks.
        origin: where the request came from.
    """
    now = timezone.now()
    with transaction.atomic():
        waiting = Turn.objects.filter(pk=turn.pk, state=TurnState.QUEUED)
        asked: dict[str, Any] = {"stop_asked_at": now, "stopped_by": actor}
        stopped = waiting.update(state=TurnState.STOPPED, finished_at=now, error_code=NEVER_SENT, **asked)
        if stopped:
            ChatSession.objects.filter(pk=turn.session_id).update(is_running=False)
            take_back(turn)
        running = Turn.objects.running().filter(pk=turn.pk, stop_asked_at=None)
        if not (stopped or running.update(**asked)):
            return
        record(AuditAction.TURN_STOPPED, actor=actor, origin=origin, subject=turn.session, turn=turn.number)
    runners.stop(turn.pk)
