"""The Python files of a user's network: its module, and the files beside it that it imports.

They are found by reading import statements, so nothing is executed. `user_module.py` executes exactly these files:
the files that the fingerprint and the run folder have are the files that the network is made of.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from drilldown.errors import DrilldownError, Problem

KEY = "network.python"
"""The key of an experiment file that names the module."""
NOT_BESIDE = sys.stdlib_module_names | {"drilldown", "numpy", "torch"}
"""Names that never mean a file beside the module, so that a forgotten `random.py` changes no network."""


def module_files(reference: str, folder: Path) -> dict[str, bytes]:
    """The files of a user's network, by their names relative to the folder; the module itself comes first.

    A file belongs to it if an import statement of the module names it, directly or through other files of the folder,
    also in a function. Subfolders are packages, with or without `__init__.py`.

    *Arguments*: `reference`: `FILE.py:CLASS`. `folder`: the folder of the experiment.

    *Raises* DrilldownError where the module is missing, or a file cannot be read.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "blocks.py").write_text("import torch")
    ...     _ = (Path(folder) / "other.py").write_text("")
    ...     _ = (Path(folder) / "model.py").write_text("from blocks import Block")
    ...     list(module_files("model.py:Net", Path(folder)))
    ['model.py', 'blocks.py']
    """
    first = reference.partition(":")[0]
    if not os.path.isfile(folder / first):  # Path.is_file raises where a name is too long
        raise DrilldownError(Problem(file=folder / first, place=KEY, found="no such file"))
    files: dict[str, bytes] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop(0)
        if name not in files:
            files[name] = _read(folder / name)
            waiting += _imported_files(name, files[name], folder)
    return files


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DrilldownError(Problem(file=file, place=KEY, found=f"cannot be read ({error.strerror})")) from None


def code_digest(files: Mapping[str, bytes]) -> str:
    """The SHA-256 of the code in Python files, by name.

    Comments, blank lines, layout and docstrings have no effect: they explain a network and compute nothing. All other
    changes count, also those that leave the results alone. The digest is the same for all versions of Python.

    >>> code_digest({"a.py": b"x = 1"}) == code_digest({"a.py": b"x = (1)  # one"})
    True
    """
    document = [[name, _plain_code(files[name])] for name in sorted(files)]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def module_name(file: str) -> str:
    """The name that an import statement has for a file.

    >>> module_name("model.py"), module_name("parts/block.py"), module_name("parts/__init__.py")
    ('model', 'parts.block', 'parts')
    """
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def package_name(file: str) -> str:
    """The package that a file's relative imports start from; empty for the folder of the experiment.

    >>> package_name("model.py"), package_name("parts/block.py"), package_name("parts/__init__.py")
    ('', 'parts', 'parts')
    """
    return file.rpartition("/")[0].replace("/", ".")


def absolute_name(name: str, level: int, package: str) -> str:
    """The full name of a module that an import statement names with `level` leading dots.

    *Raises* ImportError where it leads out of the folder of the experiment.

    >>> absolute_name("block", 1, "parts"), absolute_name("", 2, "parts"), absolute_name("parts.block", 0, "other")
    ('parts.block', '', 'parts.block')
    """
    if level == 0:
        return name
    parts = package.split(".") if package else []
    if level - 1 > len(parts):
        raise ImportError("attempted relative import beyond the folder of the experiment")
    return ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])


def _imported_files(name: str, content: bytes, folder: Path) -> Iterator[str]:
    """Yields the files of the folder that the import statements of a file name, with the packages around them."""
    tree = _parse(content)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                module = absolute_name(node.module or "", node.level, package_name(name))
            except ImportError:
                continue  # reported when the module is executed
            inner = [alias.name for alias in node.names]
            if inner == ["*"]:  # `__all__` of a package can name its modules
                inner = sorted(path.stem for path in folder.joinpath(*module.split(".")).glob("*.py")) if module else []
            modules = [module, *(f"{module}.{item}".lstrip(".") for item in inner)]
        else:
            continue
        # A relative import never means an installed package.
        relative = isinstance(node, ast.ImportFrom) and node.level > 0
        for module in modules:
            if module and (relative or module.partition(".")[0] not in NOT_BESIDE):
                yield from _files_of(module, folder)


def _files_of(module: str, folder: Path) -> Iterator[str]:
    """Yields the file of a module, after those of the packages that contain it."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        for name in (f"{path}/__init__.py", f"{path}.py"):
            if os.path.isfile(folder / name):
                yield name
                break


def _parse(content: bytes) -> ast.Module | None:
    """The syntax tree of a file; None where it is no Python. The error is reported when the file is executed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of doubtful escapes when it executes the file
        try:
            return ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _plain_code(content: bytes) -> object:
    tree = _parse(content)
    if tree is None:
        return hashlib.sha256(content).hexdigest()
    try:
        return _plain(tree)
    except (RecursionError, ValueError):  # ValueError: a number with thousands of digits
        return hashlib.sha256(content).hexdigest()


def _plain(node: object) -> object:
    """A syntax tree as lists and texts, without docstrings and positions.

    Absent parts are left out, so that a version of Python that knows more kinds of syntax gives the same lists; for
    the same reason it is not `ast.dump`, whose format changes.
    """
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return ascii(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _docstring(node):
        fields["body"] = node.body[1:]
    present = [[key, _plain(value)] for key, value in fields.items() if value is not None and value != []]
    return [type(node).__name__, *present]


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
