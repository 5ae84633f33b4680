"""A page as a browser without JavaScript has it: elements, forms, links. Tests ask it instead of searching text."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])


class Element:
    """An element with its attributes and what is inside it."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element | str] = []

    def __repr__(self) -> str:
        return f"<{self.tag} {self.attributes}>"

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def __contains__(self, name: str) -> bool:
        return name in self.attributes

    def everything(self) -> Iterator[Element]:
        """This element and all inside it, in document order."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.everything()

    @property
    def text(self) -> str:
        """The words people read inside, white space collapsed."""
        return " ".join(self._raw().split())

    def _raw(self) -> str:
        if self.tag == "style":
            return ""
        return "".join(child if isinstance(child, str) else child._raw() for child in self.children)

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """Elements with this tag and these attributes; names are written with underscores."""
        wanted = {name.strip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            one
            for one in self.everything()
            if tag in ("", one.tag) and all(one.attributes.get(name) == value for name, value in wanted.items())
        ]

    def one(self, tag: str = "", **attributes: str) -> Element:
        """The only such element."""
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} elements {tag} {attributes}"
        return found[0]

    def fields(self) -> dict[str, list[str]]:
        """What this form would send if its unnamed button were pressed."""
        sent: dict[str, list[str]] = {}
        for field in self.everything():
            name = field.attributes.get("name")
            if not name or field.tag == "button":
                continue
            if field.tag == "input":
                checkable = field.attributes.get("type") in ("checkbox", "radio")
                if not checkable or "checked" in field:
                    sent.setdefault(name, []).append(field.attributes.get("value", "on" if checkable else ""))
            elif field.tag == "select":
                options = field.all("option")
                chosen = [option for option in options if "selected" in option] or options[:1]
                sent.setdefault(name, []).extend(option["value"] for option in chosen)
            elif field.tag == "textarea":
                sent.setdefault(name, []).append(field.text)
        return sent


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].tag == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def read(response: Any) -> Element:
    """Parse the answer's HTML."""
    builder = _Builder()
    builder.feed(response.content.decode())
    builder.close()
    return builder.root
