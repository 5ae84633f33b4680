"""Background work that needs nothing but the database.

Public names: ``Job`` (from ``models``), ``Work``, ``run_due``, ``run_to_end`` (``run``), ``ALL_WORK`` (``work``).
May be imported by web, admin and management; knows chats and catalog.
"""
