"""The author's own words, written in Markdown, for pages and for Markdown reports.

The words come from an experiment file, perhaps a stranger's. So HTML in them is shown as text. On a page, pictures are
links, and headings stay below those of the page; in a Markdown report, the words are a quotation.
"""

from __future__ import annotations

import re

import markupsafe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from drilldown.wording import visible_text

HEADING = "h4"
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


def prose_html(text: str) -> markupsafe.Markup:
    """Markdown as HTML for a page.

    >>> prose_html("# It *fits*")
    Markup('<h4>It <em>fits</em></h4>\\n')
    """
    tokens = _PARSER.parse(_visible(text))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = HEADING
        token.attrs.pop("style", None)  # the page's security policy allows no styles of its own
    return markupsafe.Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))


def prose_markdown(text: str) -> str:
    """Markdown inside a Markdown report, as a quotation: nothing in it can end the quotation.

    >>> prose_markdown("It *fits*.")
    '> It *fits*.'
    """
    words = _visible(text).strip()
    if _has_html(_WITH_HTML.parse(words)):
        words = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", words)  # not a backslash: the author may have written one
    return "\n".join(f"> {line}".rstrip() for line in words.splitlines())


def _visible(text: str) -> str:
    return "\n".join(visible_text(line) for line in text.splitlines())


_WITH_HTML = MarkdownIt("commonmark")


def _has_html(tokens: list[Token]) -> bool:
    return any(token.type in ("html_block", "html_inline") or _has_html(token.children or []) for token in tokens)
