"""Measures the export: accuracy, sizes, instructions and time, over seeds, beside onnxruntime and BakeNN.

    python benchmarks/export.py [EXPERIMENT ...] [--seeds N] [--runs RUNS] [--again] [--json]

Each experiment is trained twice with each seed, as it is and with `precision = "int4"`; finished runs are used again.
Every run becomes a line in export.jsonl beside this file, from which the table here and in the documentation is made. A
line that is there already is not measured again. `--seeds 0` measures nothing and shows the table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import drilldown
from drilldown.errors import DrilldownError
from drilldown.experiment.experiment import Experiment
from drilldown.export.exporting import export_run
from drilldown.export.quantise import calibration_images
from drilldown.export.targets.figures import TargetFigures
from drilldown.runs.folder import EXPORT
from drilldown.runs.run import Run
from drilldown.runs.summarise import processor_name
from drilldown.settings import RUNS_DIR, Folders
from export_peers import bakenn_int8, onnxruntime_int8
from export_table import FILE, FLAGSHIP, Line, read_lines, table

UNO_HERTZ = 16_000_000
INT4 = 'recipe.precision="int4"'


def main() -> None:
    """Trains, exports and measures; prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=[FLAGSHIP])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs", type=Path, default=RUNS_DIR)
    parser.add_argument("--again", action="store_true", help="measure also what has a line already")
    parser.add_argument("--json", action="store_true", help="print the lines in place of the table")
    options = parser.parse_args()
    for name in options.experiments:
        for seed in range(options.seeds):
            for column, changes in (("int8", []), ("int4", [INT4])):
                experiment = drilldown.load(name, changes)
                if options.again or (experiment.fingerprint, seed) not in map(key_of, read_lines()):
                    keep(measure(experiment, seed, column, Folders(runs=options.runs)))
    print(json.dumps(read_lines(), indent=2) if options.json else table(read_lines()))


def measure(experiment: Experiment, seed: int, column: str, folders: Folders) -> Line:
    """Trains one seed and exports it; the line of the run."""
    print(f"{experiment.name}, seed {seed}, {column}", file=sys.stderr, flush=True)
    run = drilldown.perform(experiment, seed=seed, folders=folders)
    line: Line = {
        "experiment": experiment.name, "fingerprint": experiment.fingerprint, "seed": seed,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "processor": processor_name(),
        "drilldown": metadata.version("drilldown"),
    }  # fmt: skip
    try:
        line[column] = figures_of(run)
    except DrilldownError as error:
        return line | {column: {"missing": str(error)}}
    if column == "int8":
        predictions, calibration = run.predictions(), calibration_images(run.dataset().train.images)
        line["onnxruntime"] = onnxruntime_int8((run.path / EXPORT / "net.onnx").read_bytes(), calibration, predictions)
        line["bakenn"] = bakenn_int8(run, calibration, predictions)
    return line


def figures_of(run: Run) -> dict[str, Any]:
    """The figures of our own code, as `FIGURES` in export_table.py names them."""
    tight = export_run(run, ["c-int8"], "tight", targets=["cortex-m4", "avr"])
    rows = export_run(run, ["c-int8"], "rows", targets=["cortex-m3", "cortex-m4"])
    begun = time.perf_counter()
    export = export_run(run)
    seconds = time.perf_counter() - begun
    code, onnx = (judged for name in ("c-int8", "onnx-int8") for judged in export.formats if judged.format == name)
    found: dict[str, Any] = {
        "float": export.test.correct,
        "correct": code.correct,
        "difference": code.correct - export.test.correct,
        "flipped": len(code.flipped),
        "constants": code.constants,
        "host_differing": code.differing,
        "onnx_correct": onnx.correct,
        "qdq_equal": onnx.total - onnx.differing,
        "seconds": round(seconds, 2),
    }
    m3, m4 = rows.targets
    for name, figures in (("rows", m4), ("tight", tight.targets[0])):
        if figures.sizes is not None:
            found |= {f"ram_{name}": figures.sizes.ram, f"stack_{name}": figures.sizes.stack}
    if m4.sizes is not None:
        found["code"] = m4.sizes.text
    for name, figures in (("m3", m3), ("m4", m4)):
        if figures.execution is not None:
            found[f"instructions_{name}"] = round(figures.execution.count)
    ran = [each.execution for each in (*rows.targets, *tight.targets) if each.execution is not None]
    found |= {"qemu_differing": sum(execution.differing for execution in ran)} if ran else {}
    reasons = sorted({reason for each in (*rows.targets, *tight.targets) for reason in each.missing})
    reasons += [f"{each.format}: {each.missed}" for each in export.formats if each.missed]
    return found | uno(tight.targets[1]) | ({"missing": "; ".join(reasons)} if reasons else {})


def uno(figures: TargetFigures) -> dict[str, Any]:
    """The figures of an Arduino Uno, which has the emulated processor's instructions and less memory."""
    sizes, run = figures.sizes, figures.execution
    found = {} if sizes is None else {"uno_flash": sizes.flash, "uno_ram": sizes.ram + sizes.stack}
    return found if run is None else found | {"uno_seconds": round(run.count / UNO_HERTZ, 4)}


def key_of(line: Line) -> tuple[str, int]:
    """The run of a line; it has only one."""
    return line["fingerprint"], line["seed"]


def keep(line: Line) -> None:
    """Writes a line into the file, in place of an earlier one of the same run."""
    lines = [other for other in read_lines() if key_of(other) != key_of(line)]
    lines.append(line)
    lines.sort(key=lambda one: (one["experiment"] != FLAGSHIP, one["experiment"], one["seed"], "int4" in one))
    FILE.write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")


if __name__ == "__main__":
    main()
