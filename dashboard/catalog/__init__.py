"""Projects and indexes as LlamaCloud last described them.

Public names: ``Project``, ``Index``, ``Readiness`` (from ``models``), ``refresh_catalog`` (from ``sync``).
May be imported by chats, jobs, web, admin and management; knows upstream.
"""
