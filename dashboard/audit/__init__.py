"""Who did what, when, from where and how it ended.

Public names: ``AuditAction``, ``Outcome``, ``Origin`` and ``record`` (from ``actions`` and ``trail``).
May be imported by every room above; knows only Django, ``dashboard.errors`` and ``dashboard.rows``.
"""
