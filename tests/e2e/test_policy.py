"""The Content-Security-Policy and Trusted Types, in the browser that enforces them.

That no page breaks them is checked at the end of every test of this folder, by ``visit``.
"""

from __future__ import annotations

import pytest

from tests.e2e.browser import NARROW, WIDE, settle
from tests.e2e.conftest import Visit
from tests.e2e.houses import House

TRY = "() => { try { %s; } catch (error) { return error.name; } return 'allowed'; }"


@pytest.mark.parametrize(
    "attempt",
    [
        "document.createElement('p').innerHTML = '<b>bold</b>'",
        "document.createElement('p').setAttribute('onclick', 'alert(1)')",
        "document.createElement('script').src = '/static/js/copy.js'",
        "trustedTypes.createPolicy('another', {createHTML: (html) => html})",
    ],
)
def test_a_string_cannot_become_html_or_script(visit: Visit, home: House, attempt: str) -> None:
    page = visit(home, "ada", home.path("locked"), expect=("This document requires", "Creating a TrustedTypePolicy"))
    settle(page)

    assert page.evaluate(TRY % attempt) == "TypeError"
    assert page.evaluate("window.__violations.splice(0).length") == 1


@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/dashboard/chatsession/", "/admin/dashboard/auditentry/", "/admin/dashboard/index/"]
)
def test_the_admin_breaks_no_policy(visit: Visit, home: House, path: str) -> None:
    page = visit(home, "cy", path)
    settle(page)

    assert page.locator("#content").is_visible()


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("path", ["/sessions/", "hostile"])
def test_hostile_text_is_text(visit: Visit, home: House, path: str, width: int) -> None:
    page = visit(home, "ada", home.path(path) if path.isalpha() else path, viewport={"width": width, "height": 900})
    settle(page)

    shown = page.locator("main").inner_text()
    assert "<script>alert(1)</script>" in shown
    assert page.locator("main :is(script, img, b)").count() == 0
    assert page.locator("main a[href^='javascript:']").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
