r"""HTML that is escaped unless it was made here: a ``str`` becomes text, only :class:`Html` stays what it is.

Whatever is not printable is shown as its code (``\u202e``) in a frame of its own, so that nothing is invisible and nothing
turns the order of what follows. No attribute is ever an address, a style or a handler made of untrusted text.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from agentreview.reporters.text import escape as visible


class Html(str):
    """Markup that is safe to put into a page as it is."""

    __slots__ = ()


Content = str | None  # what elements take: Html as it is, other text escaped, None not at all
_VOID = frozenset({"br", "hr", "input", "meta"})


def text(value: str) -> Html:
    """Untrusted text as HTML; line ends and hidden characters are shown."""
    if value.isascii() and value.isprintable():
        return Html(_quoted(value))
    parts = []
    run = ""
    for char in value:
        shown = visible(char)
        if shown == char:
            run += char
            continue
        parts.append(f'{_quoted(run)}<span class="odd">{shown}</span>')
        run = ""
    return Html("".join(parts) + _quoted(run))


def _quoted(value: str) -> str:
    # ##[command] and ::command:: are obeyed by build servers wherever a log has them, and a page may go to stdout.
    return html.escape(value).replace("##", "#&#35;").replace("::", ":&#58;")


def join(*content: Content, between: str = "") -> Html:
    """Put contents together."""
    parts = (one if isinstance(one, Html) else text(one) for one in content if one is not None)
    return Html(between.join(parts))


def el(tag: str, *content: Content, **attributes: str | int | bool | None) -> Html:
    """One element. ``class_`` and ``for_`` lose their underscore, others become hyphens; True is an attribute without value."""
    shown = ""
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        key = name.rstrip("_").replace("_", "-")
        # Attributes have no markup inside, so hidden characters are written out plainly.
        shown += f" {key}" if value is True else f' {key}="{_quoted(visible(str(value)))}"'
    inner = "" if tag in _VOID else f"{join(*content)}</{tag}>"
    return Html(f"<{tag}{shown}>{inner}")


def isolated(value: str, tag: str = "bdi", **attributes: str | int | bool | None) -> Html:
    """A name from outside: letters that run from right to left stay inside it."""
    return el(tag, value, dir="ltr" if tag == "code" else "auto", **attributes)


def prose(value: str, limit: int = 4000) -> Html:
    """Text of several lines; a long one is cut, and says so."""
    lines = value[:limit].expandtabs(4).replace("\r\n", "\n").strip("\n").split("\n")
    told = join(*(text(line) for line in lines), between="<br>")
    return told if len(value) <= limit else join(told, el("em", " … (cut; the json report has all of it)"))


def table(heads: tuple[str, ...], rows: Sequence[Sequence[Content]], *, caption: str, numbers: int = 0) -> Html:
    """A table with a caption; the first cell of a row is its head, the last ``numbers`` columns are figures."""
    first = len(heads) - numbers
    styles = ["num" if index >= first else None for index in range(len(heads))]
    head = el("tr", *(el("th", one, scope="col", class_=style) for one, style in zip(heads, styles, strict=True)))
    body = [
        el(
            "tr",
            el("th", row[0], scope="row"),
            *(
                el("td", el("div", cell), class_=style, data_head=name)
                for cell, style, name in zip(row[1:], styles[1:], heads[1:], strict=True)
            ),
        )
        for row in rows
    ]
    return el("table", el("caption", caption), el("thead", head), el("tbody", *body))


def section(name: str, title: str, *content: Content, style: str = "") -> Html:
    """A part of the page under a heading of its own; ``name`` is its place in the page."""
    return el("section", el("h2", title, id=name), *content, aria_labelledby=name, class_=style or None)
