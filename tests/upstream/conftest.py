from __future__ import annotations

from tests.faulty import faulty

__all__ = ["faulty"]
