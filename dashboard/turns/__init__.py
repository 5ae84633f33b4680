"""Questions and their answers: asked exactly once, run to the end whoever watches, never lost.

Public names: ``Turn``, ``TurnState``, ``LogEntry``, ``AnswerPiece`` (from ``models``); ``ask``, ``stop``, ``retry``
(``ask``); ``Run`` (``run``); ``Pulse`` (``pulse``); ``EventLog`` (``eventlog``); ``read_entries`` (``entries``);
``Runners`` (``runners``); ``import_history`` (``history``).
May be imported by jobs, web, admin and management; knows upstream, access, audit, catalog and chats.
"""
