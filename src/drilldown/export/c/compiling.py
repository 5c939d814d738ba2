"""Compiles the C code with the compiler of this machine, and runs it on images."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from drilldown.errors import DrilldownError, Problem
from drilldown.export.c.writing import FLOAT, render

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-O3")
TIMEOUT_SECONDS = 600


def find_compiler() -> list[str]:
    """The words of the command that compiles: `$CC`, or a compiler of the system.

    *Raises* DrilldownError where there is none.
    """
    asked = os.environ.get("CC", "").strip()
    for name in (asked,) if asked else COMPILERS:
        try:
            program, *options = shlex.split(name)
        except ValueError as error:  # a quotation mark without its partner
            found = f"$CC cannot be read as a command: {asked} ({error})"
            raise DrilldownError(Problem(found=found)) from None
        path = shutil.which(program)
        if path:
            return [path, *options]
    raise DrilldownError(
        Problem(
            found=f"no C compiler was found ({asked or ', '.join(COMPILERS)}), so the C code cannot be checked",
            suggestion="install one (Debian and Ubuntu: apt install gcc), name one in $CC, or export --to onnx",
        )
    )


def compile_program(
    name: str, folder: Path, target: Path, *, compiler: Sequence[str] | None = None, flags: Sequence[str] = FLAGS
) -> Path:
    """Compiles a network into a program that maps images to logits.

    *Arguments*: `name`: the name of the network's files in `folder`, without endings. `target`: a folder for the
    program.

    *Raises* DrilldownError where the compiler fails.
    """
    main, program = target / f"judge_{name}.c", target / f"judge_{name}"
    main.write_text(render("judge.c.j2", name=name, logit="float" if name == FLOAT else "int32_t"), "utf-8")
    command = [*(compiler or find_compiler()), *flags, f"-I{folder}", str(main), str(folder / f"{name}.c")]
    return _run([*command, "-o", str(program), "-lm"], program)


def run_self_test(name: str, folder: Path, target: Path) -> int:
    """Compiles a network with its self-test, and returns the number of images with wrong logits."""
    program = target / "selftest"
    command = [*find_compiler(), *FLAGS, str(folder / "selftest.c"), str(folder / f"{name}.c"), "-o", str(program)]
    return subprocess.run([str(_run(command, program))], check=False, timeout=TIMEOUT_SECONDS).returncode


def _run(command: Sequence[str], program: Path) -> Path:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DrilldownError(Problem(found=f"{command[0]} does not run ({error})")) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr.strip() or "no reason"]
        raise DrilldownError(Problem(found=f"{shlex.join(command[:1])} does not compile the C code ({lines[0]})"))
    return program


def run_program(program: Path, images: torch.Tensor, classes: int, *, is_float: bool) -> torch.Tensor:
    """The logits that a compiled network gives, (N, classes), float32 or int32; half of the images at a time.

    *Arguments*: `images`: (N, channels, height, width), uint8.

    *Raises* DrilldownError where the program fails.
    """
    parts = [part for part in images.permute(0, 2, 3, 1).chunk(2) if len(part)]
    with ThreadPoolExecutor(len(parts)) as pool:
        outputs = list(pool.map(lambda part: _logits(program, part), parts))
    logits = np.frombuffer(b"".join(outputs), np.float32 if is_float else np.int32)
    if logits.size != len(images) * classes:
        raise DrilldownError(Problem(file=program, found=f"{logits.size} logits", expected=f"{len(images) * classes}"))
    return torch.from_numpy(logits.reshape(-1, classes).copy())


def _logits(program: Path, images: torch.Tensor) -> bytes:
    content = images.contiguous().numpy().tobytes()
    try:
        done = subprocess.run([str(program)], input=content, capture_output=True, timeout=TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DrilldownError(Problem(found=f"the compiled C code does not run ({error})")) from None
    if done.returncode:
        detail = done.stderr.decode(errors="replace").strip()[-2000:]
        raise DrilldownError(
            Problem(file=program, found=f"the C code stopped with exit code {done.returncode} {detail}")
        )
    return done.stdout
