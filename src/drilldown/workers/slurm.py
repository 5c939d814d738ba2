"""The job script that starts workers on a SLURM cluster."""

from __future__ import annotations

import shlex
from pathlib import Path


def slurm_script(crew: Path, command: list[str], options: str) -> str:
    """Returns a script for `sbatch`.

    *Arguments*: `crew`: the crew's file. `command`: starts the worker. `options`: of sbatch, such as
    `--gres=gpu:1 --array=0-7 -t 2:00:00`.

    >>> print(slurm_script(Path("crew.json"), ["drilldown", "worker", "crew.json"], "--array=0-7 -t 2:00:00"))
    #!/bin/bash
    #SBATCH --job-name=drilldown-worker
    #SBATCH --output=drilldown-worker-%j.log
    #SBATCH --signal=TERM@30
    #SBATCH --array=0-7
    #SBATCH -t 2:00:00
    # Submit with: drilldown worker crew.json --slurm "..." | sbatch
    exec srun drilldown worker crew.json
    """
    lines = [
        "#!/bin/bash",
        "#SBATCH --job-name=drilldown-worker",
        "#SBATCH --output=drilldown-worker-%j.log",
        "#SBATCH --signal=TERM@30",
        *(f"#SBATCH {option}" for option in _split_options(options)),
        f'# Submit with: drilldown worker {shlex.quote(str(crew))} --slurm "..." | sbatch',
        f"exec srun {shlex.join(command)}",
    ]
    return "\n".join(lines)


def _split_options(options: str) -> list[str]:
    """Splits the options of sbatch, each with its value: `-t 2:00:00` is one."""
    split: list[str] = []
    for word in shlex.split(options):
        if word.startswith("-") or not split:
            split.append(word)
        else:
            split[-1] += f" {shlex.quote(word)}"
    return split
