"""Exports a finished run: makes all files in a temporary folder, judges them, and publishes those that pass."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
import torch

from drilldown.data.dataset import Dataset
from drilldown.errors import DrilldownError, Problem, check_argument
from drilldown.evaluation.predictions import Predictions
from drilldown.experiment.chip import TargetName
from drilldown.export.c.compiling import compile_program, find_compiler, run_program, run_self_test
from drilldown.export.c.self_test import SELF_TEST, write_self_test
from drilldown.export.c.writing import FLOAT, INT8, Program, write_program
from drilldown.export.check import judge_float, judge_integers, judge_nearly_integers
from drilldown.export.document import Export, Judged
from drilldown.export.folding import fold_experiment
from drilldown.export.formats import choose_formats
from drilldown.export.graph import Graph
from drilldown.export.integer import IntegerGraph
from drilldown.export.names import FormatName, ScheduleName
from drilldown.export.onnx.floats import write_float_onnx
from drilldown.export.onnx.integers import write_int8_onnx
from drilldown.export.onnx.model import need
from drilldown.export.onnx.modules import write_module_onnx
from drilldown.export.onnx.running import run_onnx
from drilldown.export.quantise import calibration_images, quantise
from drilldown.export.readme import write_readme
from drilldown.export.targets.figures import TargetFigures
from drilldown.export.targets.limits import Limits
from drilldown.export.targets.measuring import measure_target
from drilldown.files import busy_folder, explain_write_errors, json_bytes, lock_folder, with_checksum, write_atomically
from drilldown.runs.folder import EXPORT, EXPORT_DOCUMENT
from drilldown.runs.run import Run

OnStep = Callable[[str], None]
"""Called with a line before each slow step."""
_TEMPORARY = ".export-"


def export_run(
    run: Run,
    formats: Sequence[FormatName] | None = None,
    schedule: ScheduleName = "rows",
    data_dir: Path | str | None = None,
    targets: Sequence[TargetName] = (),
    limits: Limits | None = None,
    on_step: OnStep = lambda _: None,
) -> Export:
    """Exports a finished run into the folder `export/` in its own folder.

    Each file is judged on all test images. A file that fails its check is not published, and the result says why.

    *Arguments*: `formats`: `onnx`, `onnx-int8`, `c`, `c-int8`; None for all that the network can have. `schedule`: the
    order of the calculation in C, `rows`, `tight` or `layers`. `data_dir`: the first place to look for the dataset.
    `targets`: the processors that the int8 code in C is measured for, such as `cortex-m4`. `limits`: the flash and the
    RAM that it may take on each of them.

    *Raises* DrilldownError where the run is not finished, where the network cannot have a format that was asked for,
    where a package or a compiler is missing, or where the folder cannot be written.

    >>> drilldown.export_run("last")
    Traceback (most recent call last):
    drilldown.errors.DrilldownError: run: found "last"; expected a run, as drilldown.perform returns it
    """
    check_argument("run", run, Run, "a run, as drilldown.perform returns it")
    run.check_finished()
    experiment = run.experiment
    network = run.model()
    graph = None if experiment.layout is None else fold_experiment(experiment, network, run.normalisation)
    chosen, refused = choose_formats(formats, experiment, graph)
    _check_targets(targets, limits, chosen, refused)
    _check_tools(chosen)
    dataset = experiment.recipe.load_without_writers(data_dir)
    predictions = run.predictions_for(dataset)
    with _one_thread(), _work_folder(run) as work, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as build:
        maker = _Maker(run, network, graph, dataset, predictions, schedule, targets, work, Path(build), on_step)
        judged = tuple(maker.make(name) for name in chosen)
        summary = run.read().summary
        export = Export(
            experiment=run.name,
            fingerprint=summary.fingerprint or run.trained_experiment.fingerprint,
            seed=summary.seed,
            weights=run.weights_digest,
            versions={"drilldown": metadata.version("drilldown"), "torch": torch.__version__},
            test=predictions.tally,
            formats=judged,
            refused=refused,
            targets=tuple(maker.figures),
            limits=limits or Limits(),
        )
        _publish(run, work, export)
    return export


def _check_targets(
    targets: Sequence[TargetName], limits: Limits | None, chosen: Sequence[FormatName], refused: dict[FormatName, str]
) -> None:
    """Raises DrilldownError where no figures can be made that the user asks for."""
    if limits not in (None, Limits()) and not targets:
        raise DrilldownError(
            Problem(
                found="a limit for flash or RAM without a target", suggestion="add, for example, --target cortex-m4"
            )
        )
    if targets and "c-int8" not in chosen:
        reason = refused.get("c-int8", "it is not in the list of --to")
        raise DrilldownError(Problem(place="--target", found=f"figures are of c-int8, which is not exported: {reason}"))


def _check_tools(formats: Sequence[FormatName]) -> None:
    """Raises DrilldownError where a package or a compiler is missing that a check needs."""
    if {"onnx", "onnx-int8"} & set(formats):
        need("onnx"), need("onnxruntime")
    if {"c", "c-int8"} & set(formats):
        find_compiler()


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch calculates with one thread: on a busy machine, several would wait for each other most of the time.

    The steps are short and many, so a second thread gains little. And all numbers of cores give the same ranges.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _work_folder(run: Run) -> Iterator[Path]:
    """A temporary folder in the run's own, so that publishing it is one renaming; other writers wait meanwhile."""
    try:
        with explain_write_errors(run.path), lock_folder(run.path):
            for leftover in run.path.glob(f"{_TEMPORARY}*"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=run.path, ignore_cleanup_errors=True) as name:
                work = Path(name)
                (work / "new").mkdir()
                yield work
    except filelock.Timeout:
        raise DrilldownError(
            busy_folder(run.path, "another process is writing here", "repeat the command later")
        ) from None


def _publish(run: Run, work: Path, export: Export) -> None:
    """Puts the new folder in place of the old one."""
    write_readme(work / "new", export, run.read().summary.teacher_text)
    write_atomically(work / "new" / EXPORT_DOCUMENT, json_bytes(with_checksum(export.to_json())))
    target = run.path / EXPORT
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.exists():
        os.replace(target, work / "old")
    os.replace(work / "new", target)


@dataclass(slots=True)
class _Maker:
    """Makes the files of one format after another, and judges them."""

    run: Run
    network: torch.nn.Module
    graph: Graph | None
    dataset: Dataset
    predictions: Predictions
    schedule: ScheduleName
    targets: Sequence[TargetName]
    work: Path
    build: Path
    """A folder for compiled programs; the run's own may lie on a drive that forbids them."""
    on_step: OnStep
    known_integers: tuple[IntegerGraph, torch.Tensor] | None = None
    figures: list[TargetFigures] = field(default_factory=list)
    """Of the int8 code in C, on each target."""

    @property
    def title(self) -> str:
        """The first line of all files."""
        return f"{self.run.name}, seed {self.run.seed}, exported by drilldown"

    @property
    def images(self) -> torch.Tensor:
        """The test images."""
        return self.dataset.test.images

    def integers(self) -> tuple[IntegerGraph, torch.Tensor]:
        """The int8 network and its logits for the test images, made once."""
        if self.known_integers is None:
            assert self.graph is not None
            self.on_step("quantising, and calculating the reference with integers")
            network = quantise(self.graph, calibration_images(self.dataset.train.images))
            self.known_integers = network, network.logits(self.images)
        return self.known_integers

    def make(self, name: FormatName) -> Judged:
        """Makes the files of a format; those that fail their check are removed."""
        make = {"onnx": self._onnx, "onnx-int8": self._onnx_int8, "c": self._c, "c-int8": self._c_int8}[name]
        judged = make()
        if not judged.passed:
            for file in judged.files:
                (self.work / "new" / file).unlink(missing_ok=True)
            judged = judged.model_copy(update={"files": ()})
        return judged

    def _onnx(self) -> Judged:
        self.on_step("onnx: writing, and predicting all test images")
        if self.graph is None:
            content = write_module_onnx(self.network, self.title, self.run.experiment.image, *self.run.normalisation)
        else:
            content = write_float_onnx(self.graph, self.title)
        (self.work / "new" / "net.onnx").write_bytes(content)
        outputs = [run_onnx(content, self.images, optimise=optimise) for optimise in (False, True)]
        return judge_float("onnx", self.predictions, outputs, files=("net.onnx",), checked_with=_runtime())

    def _onnx_int8(self) -> Judged:
        network, wanted = self.integers()
        self.on_step("onnx-int8: writing, and predicting all test images")
        content = write_int8_onnx(network, self.title)
        (self.work / "new" / "net-int8.onnx").write_bytes(content)
        outputs = [run_onnx(content, self.images, optimise=optimise) for optimise in (False, True)]
        return judge_nearly_integers(
            "onnx-int8", self.predictions, outputs, network, wanted, files=("net-int8.onnx",), checked_with=_runtime()
        )

    def _c(self) -> Judged:
        assert self.graph is not None
        self.on_step("c: writing, compiling, and predicting all test images")
        program = write_program(self.graph, self.title, self.schedule)
        files = f"{FLOAT}.h", f"{FLOAT}.c"
        return judge_float("c", self.predictions, [self._logits(program)], files=files, **self._about(program))

    def _c_int8(self) -> Judged:
        network, wanted = self.integers()
        self.on_step("c-int8: writing, compiling, and predicting all test images")
        program = write_program(network, self.title, self.schedule)
        write_self_test(self.work / "new", self.images, wanted)
        judged = judge_integers(
            "c-int8", self.predictions, self._logits(program), wanted, files=(f"{INT8}.h", f"{INT8}.c", SELF_TEST),
            **self._about(program),
        )  # fmt: skip
        wrong = run_self_test(INT8, self.work / "new", self.build)
        missed = [f"the self-test finds {wrong} wrong images"] if wrong else []
        for target in self.targets:
            self.on_step(f"c-int8: measuring for {target}")
            figures = measure_target(target, network, program, self.images, wanted, self.build / target)
            self.figures.append(figures)
            missed += [figures.missed] if figures.missed else []
        return judged.model_copy(update={"missed": missed[0]}) if judged.passed and missed else judged

    def _logits(self, program: Program) -> torch.Tensor:
        """Writes and compiles a program, and runs it on the test images."""
        program.write(self.work / "new")
        compiled = compile_program(program.name, self.work / "new", self.build)
        classes = self.predictions.logits.shape[1]
        return run_program(compiled, self.images, classes, is_float=program.name == FLOAT)

    def _about(self, program: Program) -> dict[str, Any]:
        return {
            "constants": program.constants,
            "ram": program.ram,
            "schedule": self.schedule,
            "checked_with": Path(find_compiler()[0]).name,
        }


def _runtime() -> str:
    return f"onnxruntime {need('onnxruntime').__version__}"
