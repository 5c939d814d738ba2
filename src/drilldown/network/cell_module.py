"""A network that is defined in a cell of a notebook, or in a script, as a Python file of its own.

The file has the source of the class, the source of other classes and functions of the notebook that it uses, and the
imports. It has no variables of the notebook: their values can change, and a file cannot follow them.
"""

from __future__ import annotations
import __future__

import ast
import functools
import inspect
import linecache
import os
import re
import symtable
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import platformdirs
from torch import nn

from drilldown.errors import DrilldownError, Problem
from drilldown.files import explain_file_errors, file_digest, write_atomically

MODULE = "model.py"
"""The name of the file."""
EXPERIMENT = "network.toml"
"""The name of the experiment file beside it."""
HEAD = "# The network as a notebook or a script defined it; experiment.with_network wrote this file.\n"
FUTURE = "from __future__ import annotations\n"


def store_cell_module(module: str, experiment: str) -> Path:
    """Writes a module, and the experiment that uses it, into a folder of the user's cache.

    The same texts have the same folder, so that an experiment is the same each time that its cell is executed.

    *Returns* the path of the experiment file.

    *Raises* DrilldownError where the cache cannot be written.
    """
    cache = Path(platformdirs.user_cache_dir("drilldown", appauthor=False)) / "networks"
    folder = cache / file_digest(f"{module}\0{experiment}".encode())[:16]
    with explain_file_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((MODULE, module), (EXPERIMENT, experiment)):
            write_atomically(folder / name, text.encode())
    return folder / EXPERIMENT


def cell_module(network: Callable[..., nn.Module]) -> str:
    """The text of a Python file that defines a class or function as a notebook does.

    *Raises* DrilldownError where `network` is neither, where its source is unknown, or where it needs more than
    imports and other classes and functions of the notebook.
    """
    if not isinstance(network, type | FunctionType):
        found, suggestion = _wrong_kind(network)
        raise _refusal(found, "a class, or a function that returns a torch.nn.Module", suggestion)
    if not re.match("[A-Za-z_]", network.__name__):
        suggestion = "write it with def" if network.__name__ == "<lambda>" else None
        raise _refusal(f"found the name {network.__name__}", "a name that begins with a letter from A to Z", suggestion)
    text = _ModuleText()
    text.add(network.__name__, network, user=None)
    if text.variables:
        used = "; ".join(f"{user} uses {', '.join(names)}" for user, names in text.variables.items())
        raise _refusal(
            f"{used}: defined outside, and neither a class, a function nor an import",
            "a network that needs no variables of the notebook",
            "set the value inside, or make it an argument, as in experiment.with_network(Net, width=8)",
        )
    return str(text)


def _refusal(found: str, expected: str, suggestion: str | None = None) -> DrilldownError:
    return DrilldownError(Problem(place="with_network", found=found, expected=expected, suggestion=suggestion))


def _wrong_kind(value: object) -> tuple[str, str | None]:
    """A description of a value that is neither a class nor a function, and a suggestion."""
    if isinstance(value, str):
        return f'found the text "{value}"', 'for a file, use drilldown.load with "network.python=model.py:Net"'
    found = f"found an object of the class {type(value).__name__}"
    if isinstance(value, nn.Module):
        return found, f"pass the class itself: experiment.with_network({type(value).__name__})"
    if isinstance(value, functools.partial):
        return found, "pass the arguments too: experiment.with_network(Net, width=8)"
    return found, None


class _ModuleText:
    """The parts of the file: each name that the network uses, directly or through others, is added once."""

    def __init__(self) -> None:
        self.future = False
        self.imports: set[str] = set()
        self.definitions: dict[str, str] = {}
        """The sources by name; a definition follows those that it uses."""
        self.added: dict[str, object] = {}
        self.variables: dict[str, list[str]] = {}
        """Names that have no place in a file, by the class or function that uses them."""

    def __str__(self) -> str:
        head = HEAD + (FUTURE if self.future else "") + "".join(f"{line}\n" for line in sorted(self.imports))
        return "\n\n".join([head, *self.definitions.values()])

    def add(self, name: str, value: Any, user: str | None) -> None:
        """Adds a name with its value, and all that it uses.

        *Arguments*: `user`: the class or function that uses it; None for the network itself.
        """
        if name in self.added:
            if self.added[name] is value:
                return
            raise _refusal(
                f"{name} means two different things", "one definition of each name", "execute all cells again"
            )
        self.added[name] = value
        defined = inspect.unwrap(value) if callable(value) else None
        if isinstance(defined, type | FunctionType) and not _is_installed(sys.modules.get(defined.__module__)):
            self._add_definition(name, defined, user)
        elif isinstance(value, ModuleType) and not _is_installed(value):
            raise _refusal(
                f"{user} uses the module {name}, a file of your own",
                "installed modules",
                f"import the classes and functions that it uses, as in from {value.__name__} import Block",
            )
        elif statement := _import_statement(name, value):
            self.imports.add(statement)
        else:
            self.variables.setdefault(user or name, []).append(name)

    def _add_definition(self, name: str, defined: type | FunctionType, user: str | None) -> None:
        if defined.__name__ == "<lambda>" and user:
            self.variables.setdefault(user, []).append(name)
            return
        if "." in defined.__qualname__:
            outer = defined.__qualname__.replace(".<locals>", "").rpartition(".")[0]
            raise _refusal(
                f"{defined.__name__} is defined inside {outer}",
                "a definition that is not inside another one",
                "move it to the left margin of a cell; make the values that it needs arguments",
            )
        if name != defined.__name__:
            self.add(defined.__name__, defined, user)
            self.definitions[name] = f"{name} = {defined.__name__}\n"
            return
        source, future = _source(defined)
        self.future |= future
        namespace = _namespace(defined)
        for used in sorted(_global_names(source) - {name}):
            if used in namespace and not used.startswith("__"):  # other names are Python's own, or fail when executed
                self.add(used, namespace[used], user=name)
                self.imports |= _submodules(used, namespace[used], source)
        self.definitions[name] = source


def _import_statement(name: str, value: Any) -> str | None:
    """The statement that gives a name its value; None where the value is not from an installed module."""
    if isinstance(value, ModuleType):
        return f"import {name}" if value.__name__ == name else f"import {value.__name__} as {name}"
    if not (callable(value) or getattr(value, "__module__", None) == "typing"):
        return None
    own = str(getattr(value, "__name__", None) or getattr(value, "_name", name))
    public = sorted((module for module in sys.modules if "_" not in module), key=lambda name: (name.count("."), name))
    for home in (getattr(value, "__module__", None), *public):  # some functions of PyTorch do not say where they are
        module = sys.modules.get(home or "")
        if module and vars(module).get(own) is value and _is_installed(module):
            return f"from {home} import {own}" if own == name else f"from {home} import {own} as {name}"
    return None


def _submodules(name: str, value: object, source: str) -> set[str]:
    """The imports of modules that a source uses as `name.inner`: an import of `name` alone may not load them."""
    if not isinstance(value, ModuleType) or value.__name__ != name:
        return set()
    dotted = {ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    return {f"import {path}" for path in dotted if path.startswith(f"{name}.") and path in sys.modules}


@functools.cache
def _installed_packages() -> Mapping[str, list[str]]:
    """The packages that are installed, which takes a moment to find out."""
    return packages_distributions()


def _is_installed(module: ModuleType | None) -> bool:
    """Whether other programs can import the module, too: it is not the notebook, nor a file of the user's own."""
    if module is None or module.__name__ == "__main__":
        return False
    file, package = getattr(module, "__file__", None), module.__name__.partition(".")[0]
    return (
        file is None
        or package in sys.stdlib_module_names
        or bool({"site-packages", "dist-packages"} & set(Path(file).parts))
        or package in _installed_packages()
    )


def _namespace(defined: type | FunctionType) -> Mapping[str, Any]:
    """The variables that surround a definition."""
    if isinstance(defined, FunctionType):
        return defined.__globals__  # after a %run, they are not those of the notebook
    functions = [value for value in vars(defined).values() if isinstance(value, FunctionType)]
    own = [each.__globals__ for each in functions if each.__globals__.get("__name__") == defined.__module__]
    return own[0] if own else vars(sys.modules[defined.__module__])


def _source(defined: type | FunctionType) -> tuple[str, bool]:
    """The source of a class or function, and whether Python leaves its annotations as they are written.

    *Raises* DrilldownError where the source is unknown.
    """
    for code in _codes(defined):
        lines = linecache.getlines(code.co_filename)
        source = _find_definition("".join(lines), defined, code.co_firstlineno)
        if source:
            return source, bool(code.co_flags & __future__.annotations.compiler_flag)
    for cell in reversed(_cells(_namespace(defined))):  # a class without methods does not know its cell
        source = _find_definition(cell, defined, None)
        if source:
            return source, False
    raise _refusal(
        f"the source of {defined.__name__} is unknown",
        "a definition in a cell without a magic such as %%time, or in a file",
    )


def _codes(defined: type | FunctionType) -> Iterator[CodeType]:
    """The code of a function, or of the methods that a class itself defines."""
    if isinstance(defined, FunctionType):
        yield defined.__code__
        return
    for member in vars(defined).values():
        function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "__func__", member))
        if isinstance(function, FunctionType) and function.__qualname__.startswith(f"{defined.__qualname__}."):
            yield function.__code__


def _cells(namespace: Mapping[str, Any]) -> list[str]:
    """The texts that can contain a definition: the executed cells, or the script."""
    file = namespace.get("__file__")
    script = ["".join(linecache.getlines(file))] if isinstance(file, str) and os.path.isfile(file) else []
    cells = namespace.get("In")
    return [*script, *(cell for cell in cells if isinstance(cell, str))] if isinstance(cells, list) else script


def _find_definition(text: str, defined: type | FunctionType, line: int | None) -> str | None:
    """The source of the last definition of this name, which contains the line if one is given."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    kinds = (ast.ClassDef,) if isinstance(defined, type) else (ast.FunctionDef, ast.AsyncFunctionDef)
    found = None
    for node in ast.walk(tree):
        if isinstance(node, kinds) and node.name == defined.__name__:
            first = min(part.lineno for part in (node, *node.decorator_list))
            last = node.end_lineno or first
            if line is None or first <= line <= last:
                found = textwrap.dedent("".join(text.splitlines(keepends=True)[first - 1 : last])).rstrip() + "\n"
    return found


def _global_names(source: str) -> set[str]:
    """The names that a definition takes from its surroundings.

    >>> sorted(_global_names("class Net(nn.Module):\\n    def forward(self, x): y = relu(x); return y + SHIFT"))
    ['Net', 'SHIFT', 'nn', 'relu']
    """
    tables = [symtable.symtable(source, "<cell>", "exec")]
    names: set[str] = set()
    while tables:
        table = tables.pop()
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        tables += table.get_children()
    return names
