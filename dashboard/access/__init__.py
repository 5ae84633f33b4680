"""Who may do what.

Public names: ``Decision``, ``may_rename``, ``may_delete`` (from ``policy``). Every answer carries its reason.
May be imported by every room above; knows only Django and ``dashboard.errors``.
"""
