"""What the tests do with a page that Playwright has no word for."""

from __future__ import annotations

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

NARROW, WIDE = 320, 1280
STARTED = """async () => {
  if (matchMedia("(scripting: none)").matches) return;
  const starter = [...document.scripts].find(({text}) => text.includes("/static/js/app"));
  if (starter) await import(starter.text.match(/import\\("(.+?)"\\)/)[1]);
}"""
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
LISTEN = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});
"""
"""Runs before a page's own scripts."""


class Complaints(list[str]):
    """Everything a tab's console and policy had to say against its pages; ``expect`` names what a test provokes."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._expected: list[str] = []
        page.on("console", lambda message: self._hear(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._hear(str(error)))

    def _hear(self, text: str) -> None:
        if not any(words in text for words in self._expected):
            self.append(text)

    def expect(self, *words: str) -> None:
        """Let complaints with these words pass."""
        self._expected += words


def started(page: Page) -> None:
    """Wait until the page's scripts have started, which a test can outrun.

    Raises:
        playwright.sync_api.Error: they cannot be fetched.
    """
    page.evaluate(STARTED)


def axe(page: Page) -> dict[str, list[str]]:
    """Check the page in both themes, narrow and wide.

    Returns:
        "theme width" → what is wrong there, one line a rule and element; themes and widths without fault are left out.
    """
    page.evaluate(AXE_SCRIPT)
    found = {}
    # Rules that look at no colour answer the same in the other theme, and axe is most of these tests' time.
    everything = {"resultTypes": ["violations"], "preload": False}
    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            wrong = page.evaluate(
                """async (options) => {
                  const {violations} = await axe.run(options);
                  return violations.flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.target}`));
                }""",
                everything if theme == "light" else everything | {"runOnly": COLOUR_RULES},
            )
            if excess := page.evaluate("document.documentElement.scrollWidth - innerWidth"):
                wrong.append(f"scrolls sideways by {excess} px")
            if wrong:
                found[f"{theme} {width}"] = wrong
    return found


def settle(page: Page) -> None:
    """Wait until the regions that renew themselves have done so."""
    expect(page.locator(".htmx-request")).to_have_count(0)


def focused(page: Page) -> str:
    """What has the focus, as its tag and its words; "" when nothing has."""
    words: str = page.evaluate(
        """() => {
          const it = document.activeElement;
          if (!it || it === document.body) return "";
          const label = it.labels?.[0] ?? it;
          return `${it.tagName.toLowerCase()} ${label.innerText || it.value || it.id}`.replace(/\\s+/g, " ").trim();
        }"""
    )
    return words


def focus_is_visible(page: Page) -> bool:
    """Whether the focused element, or the card it is in, has an outline and is on the screen."""
    seen: bool = page.evaluate(
        """() => {
          const it = document.activeElement;
          const outlined = [it, it.closest(".card")].some((one) => {
            if (!one) return false;
            const {outlineStyle, outlineWidth} = getComputedStyle(one);
            return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
          });
          const box = it.getBoundingClientRect();
          const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
          const x = Math.min(Math.max(box.left + box.width / 2, 0), innerWidth - 1);
          const y = Math.min(Math.max(box.top + box.height / 2, 0), innerHeight - 1);
          const top = document.elementFromPoint(x, y);
          const uncovered = it.contains(top) || (top?.contains(it) ?? false) || it.labels?.[0]?.contains(top);
          return outlined && inside && Boolean(uncovered);
        }"""
    )
    return seen


def tab_to(page: Page, words: str, *, most: int = 60) -> str:
    """Press Tab until something with these words has the focus; every stop on the way must be visible."""
    for _ in range(most):
        page.keyboard.press("Tab")
        name = focused(page)
        if name:
            assert focus_is_visible(page), f"the focus cannot be seen on {name!r}"
        if words in name:
            return name
    raise AssertionError(f"Tab never came to {words!r}")


def announced(page: Page, words: str) -> None:
    """Wait until the live region says exactly these words."""
    expect(page.locator("#announcer")).to_have_text(words)
