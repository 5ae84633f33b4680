"""Views, one file per noun; each reads like a table of contents."""
