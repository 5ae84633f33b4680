"""Markdown from outside, as HTML that is safe to show: rendered on the server, once, and sanitised.

Raw HTML is text, images are links (nothing is loaded from elsewhere), and only http, https and mailto lead anywhere.
"""

from __future__ import annotations

from html import escape
from importlib import import_module
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

TAGS = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
BOX = {"class": "table-box", "tabindex": "0", "role": "group", "aria-label": "Table"}
"""What a wide table scrolls in, also with the keyboard. Answers cannot write one: raw HTML in them is text."""
ATTRIBUTES = {"a": {"href", "title"}, "div": set(BOX), "ol": {"start"}, "td": {"align"}, "th": {"align"}}
FORCED_CUT = 64 * 1024
"""Characters of one unfinished block after which it is cut, so that neither time nor memory grows with it."""
REFERRED = 100_000
"""Characters that the links of one answer may take from definitions elsewhere in it ("[words]: address"). A definition
is repeated wherever it is used, so that twelve kilobytes could be five megabytes of a page; further uses stay text."""
LOOKS = 12
"""How often a line may be looked at, on average over a text, to find where its blocks end. One or two are usual, four
in lists within lists; but quotations may be written so that each is looked through to the end of the text, and sixteen
kilobytes of those took half a minute. Such a text is shown as it is written."""
SPARE_LOOKS = 1_000
"""As many more are free, so that a short text may be as tangled as it likes."""
DEEPEST = 30
"""Levels of lists and quotations, a list being two. markdown-it leaves out what is deeper; here such a text is shown as
it is written."""
INFO = 100
"""Characters of what stands behind the fence of a code block that are kept where the block is cut."""

_table = import_module("markdown_it.rules_block.table")  # not the function of that name which the package shows
vars(_table)["MAX_AUTOCOMPLETED_CELLS"] = 100
"""Cells that rows shorter than their table's head are filled up with. After the 65,536 of markdown-it a table ends too,
but twenty kilobytes of such tables were half a minute's work and megabytes of a page."""

_md = (
    MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": DEEPEST})
    .enable(["table", "strikethrough"])
    .disable("image")
)
_BOX_OPENS = "".join(f' {name}="{value}"' for name, value in BOX.items())
_md.add_render_rule("table_open", lambda *_: f"<div{_BOX_OPENS}><table>\n")
_md.add_render_rule("table_close", lambda *_: "</table></div>\n")


class _TooTangled(Exception):
    """Its blocks take more looking for than any honest text's."""


def _count(state: StateBlock, *_lines: int) -> bool:
    """A rule that applies to nothing, and is asked before all others whenever a line is looked at.

    Raises:
        _TooTangled: too often, or so deep within lists and quotations that what is deeper would be left out.
    """
    state.env["looks"] -= 1
    if state.env["looks"] < 0 or state.level > DEEPEST - 3:
        raise _TooTangled
    return False


_md.block.ruler.before("table", "count", _count, {"alt": ["paragraph", "reference", "blockquote", "list"]})
_md.enable("count")
_sanitise = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",  # an answer knows no address of ours, and must not pose as a page of Corral
    link_rel="noopener noreferrer nofollow",
    strip_comments=True,
)


class _Definitions(dict[str, dict[str, str]]):
    """The link definitions of one answer, by label; they are found as long as what they are used for fits."""

    left = REFERRED

    def get(self, label: str, default: Any = None) -> Any:
        """The definition of a label, for a link that is being made of it."""
        found = super().get(label, default)
        if found is not None:
            self.left -= len(found["href"]) + len(found["title"])
        return found if self.left >= 0 else default


def _no_definitions() -> dict[str, Any]:
    return {"references": _Definitions()}


def _looks_for(text: str) -> int:
    return LOOKS * text.count("\n") + SPARE_LOOKS


def render(text: str, env: dict[str, Any] | None = None) -> str:
    """Render Markdown to safe HTML.

    Args:
        text: anything.
        env: carries link definitions from one part of an answer to the next; a :class:`Settler` has one.

    Returns:
        HTML in which headings start at the third level, to fit below a page's own.
    """
    env = _no_definitions() if env is None else env
    env["looks"] = _looks_for(text)
    try:
        tokens = _md.parse(text, env)
    except _TooTangled:
        return _sanitise.clean("<p>" + escape(text.strip("\n"), quote=False).replace("\n", "<br>\n") + "</p>\n")
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        elif token.type in ("td_open", "th_open"):
            _plain_alignment(token)
    return _sanitise.clean(_md.renderer.render(tokens, _md.options, env))


def _plain_alignment(token: Token) -> None:
    """The renderer writes a style attribute, which the page's policy forbids."""
    style = token.attrs.pop("style", None)
    if isinstance(style, str):
        token.attrs["align"] = style.partition(":")[2]


def _indented(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


class LineEnds:
    """A growing text with LF alone, also when CR and LF come apart: Markdown's blocks are found by whole lines."""

    def __init__(self) -> None:
        self._after_cr = False

    def of(self, text: str) -> str:
        """More of the text, so written."""
        if self._after_cr and text.startswith("\n"):
            text = text[1:]
            self._after_cr = False
        if text:
            self._after_cr = text.endswith("\r")
        return text.replace("\r\n", "\n").replace("\r", "\n")


class Settler:
    """Splits a growing text into blocks that are finished, and a tail that may still change.

    ::

        settled_html = settler.feed("more text")   # "" while nothing new is finished
        settler.tail                               # what is still growing, as text
        settled_html = settler.finish()            # the rest
    """

    def __init__(self) -> None:
        self.tail = ""
        self._env = _no_definitions()
        self._next_try = 0
        self._line_ends = LineEnds()

    def feed(self, text: str) -> str:
        """Take more text; return the HTML of the blocks it finished."""
        text = self._line_ends.of(text)
        self.tail += text
        if "\n" not in text and len(self.tail) <= FORCED_CUT:
            return ""
        if len(self.tail) < self._next_try:
            return ""
        end = self._settled_until()
        if end:
            return self._settle(end)
        if len(self.tail) > FORCED_CUT:
            return self._cut()
        # One long block: look again when it has doubled, or the looking would cost the square of its length.
        self._next_try = min(2 * len(self.tail), FORCED_CUT) if len(self.tail) > 1024 else 0
        return ""

    def finish(self) -> str:
        """The text is complete: return the HTML of what was still growing."""
        return self._settle(len(self.tail)) if self.tail else ""

    def looks_at(self, more: int) -> int:
        """How many characters of a block may have to be read again when so many more of it are fed."""
        size = len(self.tail) + more
        return size if size >= self._next_try else 0

    def _settle(self, end: int) -> str:
        done, self.tail, self._next_try = self.tail[:end], self.tail[end:], 0
        return render(done, self._env)

    def _settled_until(self) -> int:
        """Where the last top-level block begins: everything before it can no longer change.

        Only whole lines are judged: an unfinished "2" looks like a paragraph until "2. " continues a list.
        """
        whole = self.tail[: self.tail.rfind("\n") + 1]
        try:
            starts = [token.map[0] for token in self._blocks(whole) if token.map]
        except _TooTangled:
            # Nor will it be less tangled when there is more of it.
            self._next_try = FORCED_CUT
            return 0
        if len(starts) < 2:
            return 0
        # Not str.splitlines: it knows more line ends than Markdown.
        return sum(len(line) + 1 for line in whole.split("\n")[: starts[-1]])

    def _blocks(self, text: str) -> list[Token]:
        tokens: list[Token] = []
        # A copy: a link definition that is only being looked at must not be remembered.
        env = {"references": dict(self._env["references"]), "looks": _looks_for(text)}
        _md.block.parse(text, _md, env, tokens)
        return [token for token in tokens if token.level == 0 and token.nesting >= 0]

    def _cut(self) -> str:
        """Settle most of an overlong block; a fence is closed and opened again, so that code stays code."""
        end = self.tail.rfind("\n") + 1
        if len(self.tail) - end > FORCED_CUT // 2:
            # One overlong line: cutting before it would leave it to be cut again with every character.
            end = len(self.tail)
        try:
            blocks = self._blocks(self.tail)
        except _TooTangled:
            return self._settle(end)
        fence = blocks[0].markup if blocks else ""
        # Repeated with every cut, so not however long it is.
        if not blocks or blocks[0].type != "fence" or len(fence) > INFO:
            return self._settle(end)
        opening = f"{' ' * _indented(self.tail)}{fence}{blocks[0].info[:INFO]}\n"
        done, rest = self.tail[:end], self.tail[end:]
        self.tail, self._next_try = opening + rest, 0
        return render(done + ("" if done.endswith("\n") else "\n") + fence, self._env)
