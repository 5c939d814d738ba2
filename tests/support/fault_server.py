"""A process that trains one run in a fork per request, with one failing system call.

Requests are lines of JSON on standard input: folder of the run, engine, number of the call that fails (-1: none), error
number, and whether a report is written.
Answers are lines of JSON: exit code, message, and the number of calls. A fork saves the seconds of the imports.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from pathlib import Path

from drilldown import Compute, load
from drilldown.errors import DrilldownError
from drilldown.report.run.writing import write_run_report
from drilldown.runs.perform import perform


def main(experiment_file: str) -> None:
    """Answers requests until the input ends."""
    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.faults_counted.restype = ctypes.c_long
    experiment = load(experiment_file)
    for engine in ("native", "torch"):  # compiles, and loads what the first training and report load
        with tempfile.TemporaryDirectory() as folder:
            _train(experiment, Path(folder) / "seed-0", engine, report=True)
    for line in sys.stdin:
        request = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            shim.faults_arm(request["folder"].encode(), ctypes.c_long(request["number"]), request["error"])
            outcome = _train(experiment, Path(request["folder"]), request["engine"], report=request["report"])
            calls = shim.faults_counted()
            shim.faults_arm(b"", ctypes.c_long(-1), 0)
            os.write(writer, json.dumps({**outcome, "calls": calls}).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer_pipe:
            answer = answer_pipe.read()
        os.waitpid(child, 0)
        print(answer or json.dumps({"code": "died", "message": ""}), flush=True)


def _train(experiment: object, folder: Path, engine: str, *, report: bool) -> dict[str, object]:
    try:
        run = perform(experiment, run_dir=folder, compute=Compute(engine=engine, threads=1))  # type: ignore[arg-type]
        if report:
            write_run_report(run)
    except DrilldownError as error:
        return {"code": error.exit_code, "message": str(error)}
    except BaseException as error:  # noqa: BLE001 - the test shows it
        return {"code": "unexpected", "message": f"{type(error).__name__}: {error}"}
    return {"code": 0, "message": ""}


if __name__ == "__main__":
    main(sys.argv[1])
