"""Questions and their answers: asked exactly once, run to the end whoever watches, never lost.

Public names: ``Turn``, ``LogEntry``, ``AnswerPiece`` (from ``models``), ``TurnState``, ``LIVE``, ``NOT_READ``
(``states``); ``ask``, ``stop``, ``retry``, ``RETRY`` and the errors they raise, ``OtherForm``, ``SessionGone``,
``TurnRunning`` (``ask``); ``Runners`` (``runners``); ``NEVER_SENT`` (``ending``); ``place_in_queue`` (``standing``);
``ledger`` (``ledger``).
Of a growing answer: ``EVENT_LOG``, ``forget_after_fork`` (``eventlog``), ``read_entries`` (``entries``), ``Entry``,
``NO_STEP``, ``PIECE`` (``answer``), ``first_passages``, ``passages_in``, ``index_told`` (``reading``). Of what was
asked elsewhere or long ago: ``import_history``, ``is_unread`` (``history``), ``prune_logs`` (``prune``).
May be imported by jobs, web, admin and management; knows upstream, access, audit, catalog and chats.
"""
