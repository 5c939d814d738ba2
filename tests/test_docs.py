"""The documentation's examples: experiments load, commands parse, and what a page says of them is so."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scipy import integrate, stats

import drilldown
from drilldown.search.confirmation import ALPHA, Confirmation, level
from drilldown.search.reading import read_search
from drilldown.search.tables import ConfirmSettings
from drilldown.settings import CREW_PORT
from drilldown.workers.slurm import slurm_script
from support import cli
from support.kernel import notebook
from support.own import write_pictures
from support.scripts import load_script

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(
    r'^(?P<indent> *)```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<code>.*?)^(?P=indent)```$', re.M | re.S
)
CLUMSY = ("so many", "anew", "whoever", "go on with", "is to be", "it came to", "likewise")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load_script(DOCS / "gen_reference.py")


def resolved(page: Path) -> str:
    """A page with the files that it includes."""
    text = page.read_text("utf-8")
    return re.sub(r'^--8<-- "(.+)"$', lambda match: (DOCS / match[1]).read_text("utf-8").rstrip(), text, flags=re.M)


def blocks(page: Path, language: str) -> list[tuple[str | None, str]]:
    """Title and code of each block of a language."""
    found = FENCE.finditer(resolved(page))
    return [(match["title"], textwrap.dedent(match["code"])) for match in found if match["language"] == language]


def with_blocks(language: str) -> list[Any]:
    return [pytest.param(page, id=str(page.relative_to(DOCS))) for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", with_blocks("toml"))
def test_every_experiment_loads_and_every_part_of_one_is_known(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.write_idx(tmp_path / "letters", train=30, test=10)
    write_pictures(tmp_path / "flowers")
    for title, code in blocks(page, "python"):
        if title:
            (tmp_path / title).write_text(code, "utf-8")
    for number, (title, code) in enumerate(blocks(page, "toml")):
        file = tmp_path / (title or f"block-{number}.toml")
        tables = tomllib.loads(code)
        if "title" not in tables:
            code = f'title = "Part"\nextends = "under-8k/01-flagship"\n{code}'
        file.write_text(code, "utf-8")
        experiment = read_search(file).base if {"search", "space"} & tables.keys() else drilldown.load(file)
        assert experiment.model_summary.parameters > 0


def test_the_page_of_the_climb_says_what_its_files_and_their_output_say() -> None:
    text = (DOCS / "first-climb.md").read_text("utf-8")
    number = r"([\d.,]+) \| "
    rows = re.findall(rf"^\| \d \| `(.+?)\.toml` \| {4 * number}(.+?) \|$", text, re.M)
    files = sorted((DOCS / "climb").glob("*.toml"))
    assert [row[0] for row in rows] == [file.stem for file in files]
    for (step, count, final, worst, clean, budget), file in zip(rows, files, strict=True):
        assert drilldown.load(file).model_summary.parameters == int(count.replace(",", ""))
        output = (DOCS / "climb" / f"{step}.txt").read_text("utf-8")
        found = re.search(r"last 5 epochs ([\d. ]+) %", output)
        assert found
        held = found[1].split()
        assert (final, worst) == (held[-1], min(held))
        assert re.search(rf"{re.escape(clean)} % · trained in \d+ s$", output, re.M)
        assert f"Budget {budget.strip('*')}," in output


def test_pictures_are_small() -> None:
    assert all(0 < picture.stat().st_size < 200_000 for picture in DOCS.glob("*.png"))


def test_the_climb_ends_at_the_flagship() -> None:
    last = drilldown.load(DOCS / "climb" / "05-schedule.toml")
    assert last.fingerprint == drilldown.load("under-8k").fingerprint


def commands(page: Path) -> list[list[str]]:
    """The arguments of each `$ drilldown …` in a page's blocks."""
    lines = [line for _, code in blocks(page, "console") for line in code.replace("\\\n", "").splitlines()]
    return [
        shlex.split(line.removeprefix("$ drilldown"), comments=True) for line in lines if line.startswith("$ drilldown")
    ]


@pytest.mark.parametrize("page", with_blocks("console"))
def test_every_command_is_one(page: Path, reference: ModuleType) -> None:
    group = reference.command_line()
    for arguments in commands(page):
        own = list(itertools.takewhile(lambda argument: argument not in (">", "|"), arguments))
        name, command, rest = group.resolve_command(None, own)
        command.make_context(name, rest)  # parses, and runs nothing


def test_a_command_that_is_none_would_be_noticed(reference: ModuleType) -> None:
    with pytest.raises(Exception, match="No such option"):
        reference.command_line().commands["run"].make_context("run", ["--sed", "1"])


def test_every_option_key_layer_and_name_is_in_the_reference(reference: ModuleType) -> None:
    for name, command in reference.command_line().commands.items():
        assert f"## drilldown {name}" in reference.commands()
        for parameter in command.params:
            assert (parameter.metavar or parameter.opts[0]).replace("|", "\\|") in reference.commands()
    search_keys = reference.search_keys()
    for key in ("goal", "candidates", "rate", "one_of", "step", "log", "start"):
        assert f"| `{key}` |" in search_keys
    assert "`{ rate = 0.8, most = 30 }`" in search_keys
    keys = reference.experiment_keys()
    for key in ("batch_size", "weight_decay", "interpolation", "holdout", "figure", "recipe.augment.affine"):
        assert key in keys
    assert '`{ name = "sgd", lr = 0.01, momentum = 0.9 }`' in keys
    assert "`conv KxK OUT" in reference.layers()
    for name in drilldown.__all__:
        assert f"::: drilldown.{name}\n" in reference.python() + "\n"


def test_every_placeholder_is_replaced(reference: ModuleType) -> None:
    for page in PAGES:
        assert "<!-- generated" not in reference.on_page_markdown(page.read_text("utf-8"))


def test_the_run_folder_is_what_the_reference_says(tmp_path: Path, reference: ModuleType) -> None:
    (tmp_path / "parent.toml").write_text(cli.TINY.format(epochs=1, accuracy=0), "utf-8")
    (tmp_path / "model.py").write_text(
        "from torch import nn\n\ndef Net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n", "utf-8"
    )
    cli.write_idx(tmp_path / "letters")
    file = tmp_path / "child.toml"
    file.write_text('title = "Child"\nextends = "parent.toml"\n[network]\npython = "model.py:Net"\n', "utf-8")
    run = drilldown.perform(drilldown.load(file), folders=drilldown.Folders(runs=tmp_path / "runs"))
    drilldown.write_report(run)
    there = {path.name for path in run.path.iterdir()} | {".lock"}  # some systems remove the lock's file
    assert there == {*reference.RUN_FOLDER, "figures"} - {"diverged.json", "audit.json", "export/"}


def test_the_code_for_a_notebook_runs(tmp_path: Path) -> None:
    shorter = {'"recipe.epochs=3"': '"recipe.epochs=1", "recipe.dataset=glyphs"', '"epochs": 3': '"dataset": "glyphs"'}
    with notebook(tmp_path) as kernel:
        for _, code in blocks(DOCS / "how-to" / "notebook.md", "python"):
            for text, short in shorter.items():
                code = code.replace(text, short)
            kernel.run_well(code)


def table_rows(page: Path, head: str) -> list[list[str]]:
    """The cells of the table whose first line begins with `head`."""
    lines = page.read_text("utf-8").partition(f"| {head}")[2].splitlines()[2:]
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def expected_maximum(n: int) -> float:
    """The expected maximum of n independent standard normal values."""
    density = lambda x: x * n * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1)  # noqa: E731
    return float(integrate.quad(density, -10, 10)[0])


def test_the_figures_of_the_winners_curse_are_right() -> None:
    rows = table_rows(DOCS / "ideas" / "winners-curse.md", "candidates n |")
    assert len(rows) == 4
    for count, maximum, one_seed, five_seeds in rows:
        expected = expected_maximum(int(count))
        assert maximum == f"{expected:.2f}"
        assert one_seed == f"{0.04 * expected:.2f}"
        assert five_seeds == f"{0.04 * expected / 5**0.5:.2f}"


def test_the_figures_of_the_first_confirmation_are_right() -> None:
    page = DOCS / "ideas" / "winners-curse.md"
    settings = ConfirmSettings()
    first = Confirmation(settings.rate, settings.most, level(ALPHA, 0))
    none, one, two = first.passes_needed[:3]
    sentence = f"accepts {none} passes without a failure, {one} with one failure, or {two} with two"
    assert sentence in page.read_text("utf-8")
    rows = table_rows(page, "true pass rate |")
    assert len(rows) == 4
    for rate, accepted, seeds in rows:
        chances = first.chances(float(rate))
        assert accepted == f"{100 * chances.accepted:.0f} %"
        assert seeds == f"{chances.seeds:.1f}"


def test_the_job_script_is_the_one_that_is_printed() -> None:
    (script,) = [code for _, code in blocks(DOCS / "how-to" / "machines-slurm.md", "console") if "#SBATCH" in code]
    command, _, printed = script.partition("\n")
    file = Path("/home/me/crew.json")  # the shell replaces ~
    arguments = shlex.split(command.removeprefix("$ ").replace("~", "/home/me"))
    where = arguments.index("--slurm")
    assert printed.rstrip("\n") == slurm_script(file, arguments[:where], arguments[where + 1]).rstrip("\n")


def test_the_manifest_for_kubernetes_fits_together(reference: ModuleType) -> None:
    yaml = pytest.importorskip("yaml")  # without types of its own
    page = DOCS / "how-to" / "machines-kubernetes.md"
    ((_, code),) = blocks(page, "yaml")
    documents = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in yaml.safe_load_all(code)}
    service = documents["Service", "crew"]
    for name in ("scheduler", "worker"):
        deployment = documents["Deployment", name]
        pod, labels = deployment["template"]["spec"], deployment["template"]["metadata"]["labels"]
        assert deployment["selector"]["matchLabels"] == labels
        assert documents["NetworkPolicy", "crew"]["podSelector"]["matchLabels"].items() <= labels.items()
        assert (service["selector"] == labels) == (name == "scheduler")
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["crew"]["secret"] == {"secretName": "crew", "defaultMode": 0o600}
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
        program, command, *arguments = container["command"]
        assert program == "drilldown"
        reference.command_line().commands[command].make_context(command, arguments)
    pod = documents["Deployment", "scheduler"]["template"]["spec"]
    address = f"{pod['hostname']}.{pod['subdomain']}.default.svc.cluster.local"
    assert pod["subdomain"] == "crew"  # the name of the headless service
    assert service["clusterIP"] == "None"
    assert service["ports"][0]["port"] == CREW_PORT
    text = page.read_text("utf-8")
    assert f"make_crew('{address}')" in text
    assert "kubectl create secret generic crew --from-file=crew.json" in text


def test_tests_and_files_that_pages_name_are_there() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
            assert (ROOT / file).is_file(), (page, file)
            assert not name or f"def {name}(" in (ROOT / file).read_text("utf-8"), (page, name)
        for file in re.findall(r"`((?:src|benchmarks|notebooks|results|studies)/[\w/.-]+)`", text):
            assert (ROOT / file).exists(), (page, file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_pages_are_in_the_menu_and_in_plain_english(page: Path) -> None:
    assert f" {page.relative_to(DOCS).as_posix()}\n" in (ROOT / "mkdocs.yml").read_text("utf-8")
    prose = FENCE.sub("", page.read_text("utf-8")).lower()
    assert not [words for words in CLUMSY if re.search(rf"\b{words}\b", prose)]


def test_sources_and_studies_are_in_plain_english() -> None:
    kinds = (".py", ".hpp", ".cpp", ".c", ".h", ".j2", ".html", ".js", ".toml", ".md")
    files = [file for name in ("src", "studies") for file in (ROOT / name).rglob("*") if file.suffix in kinds]
    clumsy = re.compile(rf"\b({'|'.join(CLUMSY)})\b", re.IGNORECASE)
    assert len(files) > 300
    assert not [(file.name, match[0]) for file in files if (match := clumsy.search(file.read_text("utf-8")))]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links, anchors, pictures and included files are there; skipped where MkDocs is not installed."""
    pytest.importorskip("mkdocs_autorefs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=cli.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        outside = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="?(https?:[^" >]+)', page.read_text("utf-8"))
        assert not outside, page
