"""Django's admin, for looking at what happened: everything Corral keeps can be found and read there, nothing changed.

One file per noun; what they share is in ``readonly`` (who may do what: look), ``paging`` (no full count),
``filters`` and ``shown`` (foreign text made safe to look at). People are managed in Django's own user admin.
May be imported by nobody; knows the models, their querysets' words and ``audit.record``.
"""

from __future__ import annotations

from django.contrib import admin

from dashboard.admin import attempts, audit, catalog, jobs, sessions, sources

__all__ = ["attempts", "audit", "catalog", "jobs", "sessions", "sources"]

admin.site.site_title = admin.site.site_header = "Corral administration"
admin.site.enable_nav_sidebar = False  # wide lists need its place, and the front page lists the same nouns
admin.site.index_title = "What Corral knows"
