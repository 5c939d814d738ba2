"""Objects show themselves by renderers that are imported at the first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

import drilldown
from drilldown import shown


class Bare(shown.Shown):
    """A class without a renderer."""

    def __repr__(self) -> str:
        return "<bare>"


def test_without_a_renderer_print_shows_the_representation() -> None:
    assert str(Bare()) == "<bare>"


def test_without_a_renderer_there_is_no_html() -> None:
    with pytest.raises(TypeError, match="no HTML for Bare"):
        Bare()._repr_html_()


def test_a_registered_renderer_is_used() -> None:
    class Painted(shown.Shown):
        pass

    shown.text.register(Painted, lambda _: "as text")
    shown.html.register(Painted, lambda _: "<b>as HTML</b>")
    assert (str(Painted()), Painted()._repr_html_()) == ("as text", "<b>as HTML</b>")


def test_every_shown_class_has_its_renderers() -> None:
    str(drilldown.load("under-8k")), drilldown.load("under-8k")._repr_html_()  # imports all renderers
    # By name: a dataclass with slots is a second class beside the one that it was written as.
    classes = {kind.__name__: kind for kind in shown.Shown.__subclasses__() if kind.__module__.startswith("drilldown.")}
    assert len(classes) == 8
    for kind in classes.values():
        assert shown.html.dispatch(kind) is not shown.html.dispatch(object), kind


def test_importing_the_package_imports_neither_torch_nor_jinja2() -> None:
    code = "import drilldown, sys; print([name for name in ('torch', 'jinja2', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_of_an_earlier_version_tells_the_new_one() -> None:
    with pytest.raises(AttributeError, match=r"it is now drilldown\.Predictions"):
        _ = drilldown.Answers
