"""The commands for many machines: crew, worker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drilldown.cli.options import AUTO_WORKERS, ThreadsOption, WorkersOption, print_notice
from drilldown.errors import DrilldownError, Problem
from drilldown.settings import CREW_PORT


def crew(
    target: Annotated[str, typer.Argument(metavar="start|FILE", help="start, or a crew's file to see who is there.")],
    file: Annotated[Path, typer.Option("--file", help="The crew's file; it is made if it is missing.")] = Path(
        "crew.json"
    ),
    host: Annotated[str | None, typer.Option(help="The address at which all machines reach this one.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help=f"The port of the scheduler (default: {CREW_PORT}).")
    ] = None,
) -> None:
    """Start a crew of machines, or list its workers.

    The crew's file contains a key: everybody who has it can execute programs on all machines of the crew.
    """
    if target == "start":
        _start_crew(file, host, port)
    else:
        _list_crew(Path(target))


def _start_crew(file: Path, host: str | None, port: int | None) -> None:
    from drilldown.workers.cluster import serve_scheduler
    from drilldown.workers.crew import make_crew, read_crew, write_crew

    made = not file.exists()
    if made:
        if host is None:
            raise DrilldownError(
                Problem(
                    place="--host",
                    found="a new crew needs the address of this machine",
                    expected="a name or address that all machines of the crew reach",
                    suggestion="127.0.0.1 keeps the crew on this machine",
                )
            )
        write_crew(make_crew(host, port or CREW_PORT), file)
    started = read_crew(file)
    for option, given, own in (("host", host and host.lower(), started.host), ("port", port, started.port)):
        if given not in (None, own):
            raise DrilldownError(
                Problem(
                    file=file,
                    found=f"the crew's {option} is {own}",
                    expected=f"{given}",
                    suggestion="name another --file to start another crew",
                )
            )

    def show(address: str) -> None:
        if made:
            print_notice(f"wrote {file}: copy it to each machine of the crew, and keep it secret")
        print_notice(f"the crew waits at {address}")
        print_notice(f"on each machine: drilldown worker {file}")
        print_notice(f"to train: drilldown run EXPERIMENT --seeds 8 --on {file}")

    try:
        serve_scheduler(started.host, started.port, started.security, show)
    except OSError as error:
        if made:  # the next attempt may name another address
            file.unlink(missing_ok=True)
        raise DrilldownError(
            Problem(
                file=file,
                found=f"cannot listen on {started.address} ({error.strerror or error})",
                expected="an address of this machine and a free port",
            )
        ) from None


def _list_crew(file: Path) -> None:
    from drilldown.terminal.console import make_console
    from drilldown.terminal.workers import print_members
    from drilldown.workers.cluster import DisconnectedError, connect
    from drilldown.workers.crew import no_answer, read_crew

    known = read_crew(file)
    try:
        with connect(known.address, known.security) as cluster:
            members = cluster.members(with_tasks=True)
    except DisconnectedError:
        raise no_answer(known, file) from None
    print_members(make_console(stderr=False), members)


def worker(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The crew's file.")],
    workers: WorkersOption = AUTO_WORKERS,
    gpus: Annotated[str | None, typer.Option("--gpus", metavar="N", help='One worker per GPU: "all", or N.')] = None,
    threads: ThreadsOption = None,
    host: Annotated[str | None, typer.Option(help="The address at which the crew reaches this machine.")] = None,
    slurm: Annotated[
        str | None, typer.Option("--slurm", metavar="OPTIONS", help="Print a job script with these sbatch options.")
    ] = None,
) -> None:
    """Train for a crew.

    The machine joins the crew, and joins it again whenever the connection was lost.
    """
    if slurm is not None:
        from drilldown.terminal.console import echo
        from drilldown.workers.slurm import slurm_script

        options = {"workers": workers or None, "gpus": gpus, "threads": threads, "host": host}
        given = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
        echo(slurm_script(file, ["drilldown", "worker", str(file), *given], slurm))
        return
    from drilldown.workers.cluster import serve_workers
    from drilldown.workers.crew import read_crew
    from drilldown.workers.machine import list_offers

    known = read_crew(file)
    offers = list_offers(workers, _gpu_count(gpus), threads, print_notice)
    try:
        serve_workers(known.address, known.security, offers, on_event=print_notice, host=host)
    except KeyboardInterrupt:
        print_notice("left the crew; it trains the interrupted runs on its other workers")
        raise


def _gpu_count(text: str | None) -> int | None:
    """The value of `--gpus`; 0 for all."""
    if text is None or text == "all":
        return None if text is None else 0
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise DrilldownError(Problem(place="--gpus", found=f'found "{text}"', expected='a number of at least 1, or "all"'))
