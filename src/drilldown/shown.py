"""How objects show themselves: the text of `print`, the HTML of a notebook.

The classes that are shown lie below the code that draws them, and must not import it. So they inherit `Shown`, and
`terminal` and `notebook` register a renderer for each class. `drilldown/__init__.py` says where the renderers lie; they
are imported at the first use, so that `import drilldown` stays fast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import ClassVar

_loaders: dict[str, Callable[[], object]] = {}
"""By the name of a renderer (`text`, `html`): what imports the modules that register with it."""


@singledispatch
def text(shown: object) -> str:
    """The object as text, for `print`."""
    return repr(shown)


@singledispatch
def html(shown: object) -> str:
    """The object as HTML, for a notebook."""
    raise TypeError(f"no HTML for {type(shown).__name__}")


def set_loader(renderer: str, load: Callable[[], object]) -> None:
    """Sets what imports the modules that register with a renderer.

    *Arguments*: `renderer`: `text` or `html`. `load`: called once, before the renderer is first used.
    """
    _loaders[renderer] = load


def _load(renderer: str) -> None:
    load = _loaders.pop(renderer, None)
    if load:
        load()


class PublicNames:
    """Base of the classes of which a notebook completes the public names alone."""

    __slots__ = ()

    _completed: ClassVar[tuple[str, ...]] = ()
    """The names to complete, where some names without an underscore are not for users."""

    def __dir__(self) -> list[str]:
        """The public names, without those of other libraries' classes, such as pydantic's."""
        if self._completed:
            return list(self._completed)
        others = [kind for kind in type(self).__mro__ if not kind.__module__.startswith("drilldown.")]
        foreign = {name for kind in others for name in vars(kind)}
        return [name for name in super().__dir__() if not name.startswith("_") and name not in foreign]


class Shown(PublicNames):
    """Base of the classes that `print` and notebooks show by a registered renderer.

    >>> print(drilldown.load("under-8k")).__class__  # doctest: +ELLIPSIS
    Under 8,000 ...
    """

    __slots__ = ()

    def __str__(self) -> str:
        _load("text")
        return text(self)

    def _repr_html_(self) -> str:
        _load("html")
        return html(self)
