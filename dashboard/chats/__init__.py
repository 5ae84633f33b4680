"""Chat sessions: the cached summaries, the lock, and creating one exactly once.

Public names: ``ChatSession``, ``SessionSource``, ``CreationAttempt``, ``LockState``, ``RunState`` (from ``models``);
``create_session``, ``abandon``, ``SessionChoice`` and what creation raises (``create``); ``reconcile`` and
``settle_dead_claim`` for background work (``reconcile``, ``claims``); ``refresh_one``, ``refresh_recent``,
``refresh_all``, ``fetch_unknown`` (``sync``); ``rename_session``, ``delete_session`` (``change``).
May be imported by jobs, web, admin and management; knows upstream, access, audit and catalog.
"""
