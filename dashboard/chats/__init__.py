"""Chat sessions: the cached summaries, the lock, and creating one exactly once.

Public names: ``ChatSession``, ``SessionSource``, ``CreationAttempt``, ``LockState``, ``RunState`` (from ``models``);
``create_session`` (``create``), ``refresh_one``, ``refresh_recent``, ``refresh_all`` (``sync``), ``rename_session``,
``delete_session`` (``change``).
May be imported by jobs, web, admin and management; knows upstream, access, audit and catalog.
"""
