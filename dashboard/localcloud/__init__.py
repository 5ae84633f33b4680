"""The embedded server: LlamaCloud's chat and index API over a folder of documents, so that everything works offline.

It is a process of its own with a SQLite file of its own, and knows nothing of the dashboard but
``dashboard.upstream.contract``. It answers by quoting passages found with SQLite's full-text search; no language model
is involved and every answer says so.

Public: :func:`serve`. Importers: ``dashboard.management`` only; tests start ``app.Localcloud`` in a thread.

Files by noun: ``app`` (routes), ``http`` (requests, answers, refusals), ``paging``, ``store`` (SQLite), ``projects``,
``indexes``, ``ingest``, ``documents`` (reading files), ``passages`` (cutting text), ``search``, ``sessions``, ``turns``
(accepting and streaming), ``runs`` (answering), ``answers``, ``attachments``, ``pictures`` (page images), ``serve``.
"""

from dashboard.localcloud.serve import serve

__all__ = ["serve"]
