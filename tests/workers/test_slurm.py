"""Workers as jobs of SLURM: the printed script, run by a stand-in for `sbatch`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from drilldown.workers.slurm import slurm_script
from support.cli import drilldown, environment, world
from support.crews import kill_family, running_crew, runs_finished, wait_until

SBATCH = """\
#!/bin/bash
# Starts a job for each number of the array, as SLURM does: a copy of the script, its output in a file.
cat > job.sh
array=$(sed -n 's/^#SBATCH --array=//p' job.sh)
output=$(sed -n 's/^#SBATCH --output=//p' job.sh)
for number in $(seq ${array/-/ }); do
    log=${output/\\%j/10$number}
    : > "$log"
    SLURM_JOB_ID=10$number SLURM_ARRAY_TASK_ID=$number bash job.sh > "$log" 2>&1 < /dev/null &
    echo $! >> jobs
done
"""
SRUN = '#!/bin/bash\nexec "$@"\n'

posix = pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="needs bash")


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """The folder of the stand-ins."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in (("sbatch", SBATCH), ("srun", SRUN)):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


@posix
def test_an_array_of_jobs_joins_and_trains(tmp_path: Path, commands: Path) -> None:
    world(tmp_path)
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    options = ("--workers", "1", "--threads", "1", "--slurm", "--array=0-1 -t 2:00:00")
    with running_crew(tmp_path) as crew:
        script = drilldown("worker", "crew.json", *options, cwd=tmp_path)
        assert script.returncode == 0, script.stderr
        subprocess.run(["sbatch"], input=script.stdout, cwd=tmp_path, env=environment(PATH=path), text=True, check=True)
        jobs = [psutil.Process(int(number)) for number in (tmp_path / "jobs").read_text().split()]
        logs = [tmp_path / f"drilldown-worker-10{number}.log" for number in range(2)]
        try:
            wait_until(lambda: all("joined the crew" in log.read_text() for log in logs))
            done = drilldown("run", "tiny.toml", "--seeds", "4", "--on", "crew.json", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert runs_finished(tmp_path) == 4
            for job in jobs:
                job.terminate()  # as SLURM does when a job's time ends, and as `scancel` does
            psutil.wait_procs(jobs, timeout=10)
            assert [job for job in jobs if job.is_running() and job.status() != psutil.STATUS_ZOMBIE] == []
            assert all(log.read_text().splitlines()[-1].startswith("left the crew") for log in logs)
        finally:
            for job in jobs:
                kill_family(job)
        assert crew.scheduler.poll() is None


@posix
@pytest.mark.parametrize("name", ["crew.json", "a crew.json", "a'b.json", "$(touch owned).json"])
def test_the_script_passes_each_argument_unchanged(name: str, tmp_path: Path, commands: Path) -> None:
    (commands / "drilldown").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (commands / "drilldown").chmod(0o755)
    script = slurm_script(Path(name), ["drilldown", "worker", name, "--threads", "2"], "--array=0-7")
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    done = subprocess.run(
        ["bash"], input=script, cwd=tmp_path, env=environment(PATH=path), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["worker", name, "--threads", "2"]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ("", []),
        ("--gres=gpu:1 --array=0-7 -t 2:00:00", ["--gres=gpu:1", "--array=0-7", "-t 2:00:00"]),
        ("-p gpu -N 1 --exclusive", ["-p gpu", "-N 1", "--exclusive"]),
        ("--constraint 'a&b' -J x", ["--constraint 'a&b'", "-J x"]),
    ],
)
def test_each_option_of_sbatch_is_a_line(options: str, lines: list[str]) -> None:
    script = slurm_script(Path("crew.json"), ["drilldown", "worker", "crew.json"], options)
    given = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]
    assert given[3:] == lines
    assert script.startswith("#!/bin/bash\n#SBATCH "), "sbatch reads options only before the first command"
