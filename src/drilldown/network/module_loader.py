"""Executes the Python files of a user's network, and says where their errors come from."""

from __future__ import annotations

import builtins
import contextlib
import functools
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from drilldown.errors import DrilldownError, Problem
from drilldown.network.layout import prints_to_stderr
from drilldown.network.module_code import (
    KEY,
    NOT_BESIDE,
    absolute_name,
    module_files,
    module_name,
    package_name,
)
from drilldown.trust import check_trust

PREFIX = "drilldown user module "
"""The modules of a network have special names, so that a file `random.py` does not replace Python's module."""


def load_module(reference: str, folder: Path) -> ModuleType:
    """Executes the file of `FILE:CLASS`, and the files beside it that it imports.

    *Raises* DrilldownError where a file is missing or fails, or may not be executed.
    """
    files = module_files(reference, folder)
    check_trust(folder, files)
    name = module_name(next(iter(files)))
    try:
        with user_code():
            return _Files(files, folder).module(name)
    except (Exception, SystemExit) as error:
        raise DrilldownError(user_code_problem(reference, folder, "cannot be loaded", error)) from error


@contextlib.contextmanager
def user_code() -> Iterator[None]:
    """Surrounds a call of the user's code: its prints go to standard error, and lazy layers cause no warning."""
    with prints_to_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Lazy modules are a new feature")  # they work here
        yield


def user_code_problem(reference: str, folder: Path, event: str, error: BaseException) -> Problem:
    """The problem of an exception in a user's code, with the file and the last line of this code that it passed.

    The line is None where it passed none, as in PyTorch's backward pass.

    *Arguments*: `reference`: `FILE:CLASS`. `folder`: the folder of the file. `event`: what happened, as a clause.
    """
    frames: list[tuple[str, int | None]] = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith(PREFIX)
    ]
    if isinstance(error, SyntaxError) and error.filename is not None and error.lineno is not None:
        frames.append((error.filename, error.lineno))
    file, line = folder / reference.partition(":")[0], None
    if frames:
        file, line = Path(frames[-1][0]), frames[-1][1]
        if file.is_relative_to(folder.absolute()):
            file = folder / file.relative_to(folder.absolute())
    text = str(error).replace(PREFIX, "")
    return Problem(
        file=file,
        line=line,
        place=KEY,
        found=f"{event}: {type(error).__name__}" + (f": {text}" if text else ""),
        suggestion=_import_hint(error, folder) if isinstance(error, ImportError) else None,
    )


def _import_hint(error: ImportError, folder: Path) -> str | None:
    """A suggestion where the file of the name stands beside the module, but was not imported."""
    name = (error.name or "").partition(".")[0]
    if not name or not (folder / f"{name}.py").is_file():
        return None
    if name in NOT_BESIDE:
        return f"rename {name}.py: the name belongs to another module"
    return f"write import {name}: only files that an import statement names are found, and kept with the run"


class _Files:
    """The files of a network, executed as modules.

    Each module has an `__import__` of its own, which finds these files and nothing else beside the module. So nothing
    is put on Python's path, networks of two folders can have files of the same name, and a function can import later.
    """

    def __init__(self, files: Mapping[str, bytes], folder: Path) -> None:
        self.files, self.folder = files, folder.absolute()
        self.named = {
            module_name(name): name for name in reversed(list(files))
        }  # the module itself precedes all others
        self.packages = {
            ".".join(parts[:depth]) for parts in (name.split(".") for name in self.named) for depth in range(len(parts))
        }
        """The names of folders; the empty one is the folder of the experiment."""
        self.modules: dict[str, ModuleType] = {}

    def module(self, name: str) -> ModuleType:
        """The module of a name, executed at its first import."""
        if name in self.modules:
            return self.modules[name]
        parent, _, own = name.rpartition(".")
        container = self.module(parent) if name else None
        if name in self.modules:  # the package has imported it
            return self.modules[name]
        file = self.named.get(name)
        if file is None and name not in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=f"{PREFIX}{name}")
        module = ModuleType(f"{PREFIX}{name}".rstrip())
        self.modules[name] = sys.modules[module.__name__] = module  # dataclasses need it there
        module.__package__ = f"{PREFIX}{name if name in self.packages else parent}".rstrip()
        if name in self.packages:
            module.__path__ = [str(self.folder.joinpath(*name.split(".")))]
        if file is not None:
            module.__file__ = str(self.folder / file)
            self._execute(module, file)
        if container is not None:
            setattr(container, own, module)
        return module

    def _execute(self, module: ModuleType, file: str) -> None:
        own_import = functools.partial(self.import_, package_name(file))
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": own_import}
        try:
            code = compile(self.files[file], str(self.folder / file), "exec", dont_inherit=True)
            exec(code, vars(module))
        except BaseException:
            del self.modules[module_name(file)]
            raise

    def import_(
        self,
        package: str,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the names of Python's own
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Does the work of an import statement, as `builtins.__import__` does, for a file of `package`."""
        full = absolute_name(name, level, package)
        first = full.partition(".")[0]
        if level == 0 and (first in NOT_BESIDE or (first not in self.named and first not in self.packages)):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = self.module(full)
        if not fromlist:  # `import a.b` makes the name `a`
            return self.module(first)
        for item in getattr(module, "__all__", ()) if "*" in fromlist else fromlist:
            inner = f"{full}.{item}".lstrip(".")
            if not hasattr(module, item) and (inner in self.named or inner in self.packages):
                self.module(inner)
        return module
