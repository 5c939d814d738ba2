"""The HTML report: one file that holds all it needs, the trained network included, and asks the network for nothing.

Pages extend `templates/base.html.j2` and are put together by `page`, which inlines style and scripts, embeds data and
computes the content-security-policy that forbids everything else.
"""

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

from drilldown import difference
from drilldown.anatomy import Anatomy
from drilldown.report import analysis, curves, embedded, figures, pictures
from drilldown.report.evidence import Evidence
from drilldown.verdict import meets

MOST_MISTAKES = 200
"""The most mistakes that a page shows: a network that learned nothing would fill megabytes with them."""
HARD_EXAMPLES = 3
"""Of the surest mistakes, how many are among the examples to try."""
SHADES = 5
"""Of the confusion matrix."""
NOUNS = {"mnist": "digit", "glyphs": "digit", "kmnist": "character"}
"""What there is to draw, by dataset; a picture otherwise."""

SCRIPTS = ("page.js", "prepare.js", "network.js", "pad.js")
"""Of a run's page; all but the first serve the network in it."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("drilldown.report", "templates"),
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(evidence: Evidence) -> str:
    """The page of a finished run."""
    experiment, epochs, bar = evidence.experiment, evidence.epochs, evidence.experiment.budget.accuracy
    obstacle = embedded.obstacle(experiment)
    samples = figures.augmented(evidence.dataset, experiment).round().to(evidence.dataset.train.images.dtype)
    mistakes = evidence.mistakes[:MOST_MISTAKES]
    return page(
        "run.html.j2",
        scripts=SCRIPTS[:1] if obstacle else SCRIPTS,
        data={}
        if obstacle
        else {"network": embedded.of_run(evidence.run, experiment), "examples": _examples(evidence)},
        evidence=evidence,
        experiment=experiment,
        summary=evidence.summary,
        verdict=evidence.verdict,
        part=evidence.verdict.split,
        noun=NOUNS.get(experiment.recipe.dataset, "picture"),
        obstacle=obstacle,
        sentences=analysis.sentences(evidence),
        charts=curves.of_run(epochs, experiment),
        met=[bar is not None and meets(epoch, bar) for epoch in epochs],
        anatomy=experiment.anatomy,
        shares=shares(experiment.anatomy),
        changed=difference.between(experiment.parent, experiment) if experiment.parent else None,
        mistakes=[(mistake, pictures.address(evidence.dataset.test.images[mistake.index])) for mistake in mistakes],
        shades=_shades(evidence),
        samples=pictures.address(pictures.mosaic(samples)),
        sample_shape=samples.shape[:2],
        toml=experiment.to_toml().strip(),
    )


def page(
    template: str, *, scripts: Sequence[str], opens: Sequence[str] = (), data: Mapping[str, Any], **context: Any
) -> str:
    """A self-contained page.

    *Arguments*: `template`: extends `base.html.j2`. `scripts`: files of `templates/`, in the order in which they run.
    `opens`: those of the pages that it holds and opens, which inherit its policy. `data`: what the scripts find as
    JSON in the element `data`. `context`: what the template uses.
    """
    style, code = _file("page.css"), [_file(script) for script in scripts]
    allowed = dict.fromkeys(map(_digest, [*code, *map(_file, opens)]))
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
    return _TEMPLATES.get_template(template).render(
        **context,
        policy=policy,
        style=Markup(style),
        scripts=[Markup(text) for text in code],
        data=as_json(data),
    )


def as_json(data: Mapping[str, Any]) -> Markup:
    """JSON that can stand inside a script element: nothing in it ends the element, or begins another.

    >>> print(as_json({"title": "</script><b>&"}))
    {"title":"\\u003c/script\\u003e\\u003cb\\u003e\\u0026"}
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text))


def shares(anatomy: Anatomy) -> list[tuple[float, float]]:
    """For each layer, parameters and multiply-adds in percent of the largest layer's: the lengths of bars."""
    most = max(row.parameters for row in anatomy.layers), max(row.multiply_adds for row in anatomy.layers)
    return [(100 * row.parameters / (most[0] or 1), 100 * row.multiply_adds / (most[1] or 1)) for row in anatomy.layers]


def prose(text: str) -> Markup:
    """A sentence: what stands between backticks as code, no line break between a number and its %.

    >>> print(prose("try `a < b`"))
    try <code>a &lt; b</code>
    """
    together = text.replace(" %", "\N{NO-BREAK SPACE}%")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(together))))


def _examples(evidence: Evidence) -> list[dict[str, Any]]:
    """The first test image of each class that was read rightly, ten at most, and a few of the surest mistakes."""
    wrong = {mistake.index: mistake for mistake in evidence.mistakes}
    test = evidence.dataset.test
    chosen = []
    for number in range(min(evidence.dataset.classes, 10)):
        of_class = (test.labels == number).nonzero().flatten().tolist()
        chosen += [index for index in of_class if index not in wrong][:1]
    chosen += list(wrong)[:HARD_EXAMPLES]
    return [
        {
            "index": index,
            "truth": int(test.labels[index]),
            "mistake": index in wrong,
            "pixels": pictures.raw(test.images[index]),
        }
        for index in chosen
    ]


def _shades(evidence: Evidence) -> list[list[int]]:
    """For each cell of the confusion matrix, 0 (none) to SHADES (the most mistakes); the diagonal is left out."""
    wrong = evidence.confusion.clone().fill_diagonal_(0)
    most = max(1, int(wrong.max()))
    return [[-(-SHADES * count // most) for count in row] for row in wrong.tolist()]


@cache
def _file(name: str) -> str:
    text = (resources.files("drilldown.report") / "templates" / name).read_text("utf-8")
    assert "</script" not in text.lower()
    assert "</style" not in text.lower()
    return text


def _digest(text: str) -> str:
    """What a content-security-policy calls an inline script or style that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_TEMPLATES.filters["prose"] = prose
_TEMPLATES.filters["count"] = "{:,}".format
