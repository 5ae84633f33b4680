"""What people see: forms, pages and fragments.

Public names: the URL names in ``urls``. Knows every room below it (of ``upstream`` only its public names); never
``localcloud`` or ``admin``.
"""
