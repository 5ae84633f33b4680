"""Background work that needs nothing but the database.

Public names: ``Job`` (from ``models``), ``Work``, ``run_due``, ``run_to_end``, ``hurry``, ``let_go``
(``run``), ``all_work`` (``work``).
May be imported by web, admin and management; knows audit, catalog, chats and turns.
"""
