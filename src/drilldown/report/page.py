"""A self-contained HTML page: it contains its style, scripts and data, and its policy forbids everything else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from drilldown.wording import count_text

PAGE_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def build_page(
    template: str, *, scripts: Sequence[str], opens: Sequence[str] = (), data: Mapping[str, Any], **context: Any
) -> str:
    """Builds a page from a template, with style, scripts and data inlined.

    *Arguments*: `template`: a file of `templates/` that extends `base.html.j2`. `scripts`: files of `templates/`, in
    the order in which they run. `opens`: the scripts of pages that this page contains and opens; they inherit its
    policy. `data`: the JSON document that scripts read from the element `data`. `context`: the template's variables.
    """
    style, code = _template_file("page.css"), [_template_file(script) for script in scripts]
    allowed = dict.fromkeys(map(_digest, [*code, *map(_template_file, opens)]))
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(allowed)}",
            f"style-src {_digest(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return PAGE_TEMPLATES.get_template(template).render(
        **context,
        policy=policy,
        style=Markup(style),
        scripts=[Markup(text) for text in code],
        data=script_json(data),
    )


def script_json(data: Mapping[str, Any]) -> Markup:
    """JSON for a script element: no text in it can end the element or begin another.

    >>> print(script_json({"title": "</script><b>&"}))
    {"title":"\\u003c/script\\u003e\\u003cb\\u003e\\u0026"}
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(re.sub("[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text))


def sentence_html(text: str) -> Markup:
    """A sentence as HTML: text between backticks becomes code, and no line breaks between a number and its %.

    >>> print(sentence_html("try `a < b`"))
    try <code>a &lt; b</code>
    """
    unbroken = text.replace(" %", "\N{NO-BREAK SPACE}%")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(unbroken))))


@cache
def _template_file(name: str) -> str:
    text = (resources.files("drilldown.report") / "templates" / name).read_text("utf-8")
    assert "</script" not in text.lower()
    assert "</style" not in text.lower()
    return text


def _digest(text: str) -> str:
    """The name of an inline script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


PAGE_TEMPLATES.filters["sentence_html"] = sentence_html
PAGE_TEMPLATES.filters["count"] = "{:,}".format
PAGE_TEMPLATES.filters["counted"] = count_text
