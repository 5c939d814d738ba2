"""The commands that show, compare and predict: their output, and their exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image, ImageDraw

from drilldown.data.glyphs import _template
from drilldown.data.pictures import read_picture
from drilldown.errors import DrilldownError
from support.cli import drilldown, plain_run, world
from support.study import command


def test_the_exit_code_of_verdict_depends_on_the_budget(lab: Path) -> None:
    assert drilldown("verdict", "last", cwd=lab).returncode == 0
    assert drilldown("verdict", "tiny.toml", cwd=lab).returncode == 0
    for subject in ("last", "tiny.toml"):
        failed = drilldown("verdict", subject, "--set", "budget.parameters=10", cwd=lab)
        assert failed.returncode == 3
    none = drilldown("verdict", "tiny.toml", "--set", "recipe.epochs=9", cwd=lab)
    assert none.returncode == 2
    assert "no finished runs" in none.stderr


def test_summary_prints_the_same_numbers_as_text_and_json(lab: Path) -> None:
    document = json.loads(drilldown("summary", "under-8k", "--json", cwd=lab).stdout)
    assert document["parameters"] == sum(layer["parameters"] for layer in document["layers"]) == 7662
    assert {"name", "output", "parameters", "multiply_adds", "receptive_field"} <= document["layers"][0].keys()
    text = drilldown("summary", "under-8k", cwd=lab)
    assert "7,662" in text.stdout
    assert text.stderr == ""


def test_runs_are_listed_as_text_and_json(lab: Path) -> None:
    (newest, *_) = json.loads(drilldown("runs", "--json", cwd=lab).stdout)
    assert newest["status"] == "finished"
    assert (lab / newest["path"] / "summary.json").is_file()
    assert "finished" in drilldown("runs", cwd=lab).stdout


def test_runs_of_an_empty_folder_are_an_empty_list(tmp_path: Path) -> None:
    assert json.loads(drilldown("runs", "--json", cwd=tmp_path).stdout) == []
    assert drilldown("runs", cwd=tmp_path).returncode == 0


def test_predict_classifies_digits_on_light_and_dark_paper(lab: Path, tmp_path: Path) -> None:
    template = Image.fromarray(_template(3, "DejaVuSans.ttf").numpy()).resize((280, 280))
    template.save(tmp_path / "dark.png")
    Image.eval(template, lambda value: 255 - value).save(tmp_path / "light.png")
    shown = drilldown("predict", "last", str(tmp_path / "dark.png"), str(tmp_path / "light.png"), cwd=lab)
    assert shown.returncode == 0, shown.stderr
    head, dark, light = shown.stdout.splitlines()
    assert head.split() == ["class", "confidence", "second", "picture"]
    assert dark.replace("dark.png", "") == light.replace("light.png", "")
    assert dark.index(str(tmp_path)) == light.index(str(tmp_path)) == head.index("picture")


def test_predict_refuses_a_file_that_is_no_picture(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    refused = drilldown("predict", "last", str(tmp_path / "text.png"), cwd=lab)
    assert refused.returncode == 2
    assert "text.png" in refused.stderr
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    template = Image.fromarray(_template(3, "DejaVuSans.ttf").numpy())
    template.save(tmp_path / "three.png")
    files = [str(tmp_path / name) for name in ("text.png", "three.png", "empty.png", "three.png")]
    mixed = drilldown("predict", "last", *files, cwd=lab)
    assert mixed.returncode == 2
    assert "nothing stands out" in mixed.stderr
    assert "text.png: not a picture" in mixed.stderr
    assert [line.split()[-1] for line in mixed.stdout.splitlines()[1:]] == [str(tmp_path / "three.png")]


def test_predict_reads_folders_and_patterns_and_keeps_what_it_read(lab: Path, tmp_path: Path) -> None:
    for number in (3, 4):
        template = Image.fromarray(_template(number, "DejaVuSans.ttf").numpy())
        template.save(tmp_path / f"{number}.png")
    (tmp_path / "5.png").write_bytes(b"%PDF-1.7")
    for path in (str(tmp_path), str(tmp_path / "*.png")):
        shown = drilldown("predict", "last", "--json", path, cwd=lab)
        assert shown.returncode == 2
        assert shown.stderr.splitlines() == [
            f"drilldown: {tmp_path / '5.png'}: not a picture, but a PDF document; expected a picture file such as PNG; "
            "export its page as PNG"
        ]
        document = json.loads(shown.stdout)
        assert [Path(read["picture"]).name for read in document["predictions"]] == ["3.png", "4.png"]
        assert document["problems"] == [
            {"picture": str(tmp_path / "5.png"), "problem": shown.stderr.strip().partition("5.png: ")[2]}
        ]
        assert document["prepared"].startswith("light on dark, in a box")


def test_predict_needs_a_finished_run(lab: Path, tmp_path: Path) -> None:
    run = plain_run(lab)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    (unfinished / "summary.json").unlink()
    with pytest.raises(DrilldownError, match=f"the run is interrupted; .*; resume with: drilldown resume {unfinished}"):
        command("predict", str(unfinished), "absent.png", cwd=lab)
    (unfinished / "diverged.json").write_text('{"reason": "the loss is nan"}')
    with pytest.raises(DrilldownError, match="the run diverged and has no model: the loss is nan"):
        command("predict", str(unfinished), "absent.png", cwd=lab)


def test_damaged_runs_are_listed_with_their_problems(lab: Path, tmp_path: Path) -> None:
    source = next(lab.glob("runs/*/*/seed-0"))
    good, *copies = (tmp_path / "some" / f"step-{number}" / "seed-0" for number in range(7))
    for copy in (good, *copies):
        shutil.copytree(source, copy)
    empty, listed, lacking, changed, odd, state = copies
    (empty / "summary.json").write_text("")
    (listed / "summary.json").write_text("[]")
    (lacking / "summary.json").write_text('{"experiment": "some/step"}')
    summary = json.loads((odd / "summary.json").read_text())
    (changed / "summary.json").write_text(json.dumps({**summary, "seed": 1}))
    del summary["sha256"], summary["files"]  # as version 0.1 wrote it
    (odd / "summary.json").write_text(json.dumps({**summary, "seed": "none"}))
    (state / "summary.json").unlink()
    (state / "state.safetensors").write_text("cut")
    out, err = command("runs", "--runs", str(tmp_path), cwd=lab)
    assert sorted(line.split()[0] for line in out.splitlines()) == [*["damaged"] * 6, "finished", "status"]
    assert [line.rpartition(" ")[2] for line in out.splitlines() if line.startswith("finished")] == [str(good)]
    assert len(err.splitlines()) == 6
    for reason in (
        "not a table",
        "checksum is wrong",
        '"seed" is missing',
        '"seed" is invalid',
        "state.safetensors: cannot be read",
    ):
        assert reason in err
    document = {
        Path(entry["path"]): entry
        for entry in json.loads(command("runs", "--runs", str(tmp_path), "--json", cwd=lab)[0])
    }
    assert document[good]["status"] == "finished"
    assert document[listed]["status"] == "damaged"
    assert "not a table" in document[listed]["problem"]


def test_runs_fit_80_columns_and_can_be_copied_at_any_width(lab: Path) -> None:
    for columns in ("80", "40"):
        shown = drilldown("runs", cwd=lab, COLUMNS=columns)
        assert max(map(len, shown.stdout.splitlines())) <= 80
        for line in shown.stdout.splitlines()[1:]:
            assert (lab / line.rpartition(" ")[2] / "summary.json").is_file()


def test_many_runs_are_listed_quickly(lab: Path, tmp_path: Path) -> None:
    source = next(lab.glob("runs/*/*/seed-0"))
    for number in range(300):
        run = tmp_path / "some" / f"step-{number}" / "seed-0"
        run.mkdir(parents=True)
        for name in ("experiment.toml", "summary.json"):
            shutil.copy(source / name, run)
    begun = time.perf_counter()
    out, _ = command("runs", "--runs", str(tmp_path), cwd=lab)
    assert len(out.splitlines()) == 301
    assert time.perf_counter() - begun < 5


def test_data_describes_and_draws_a_dataset(tmp_path: Path) -> None:
    shown = drilldown("data", "glyphs", "--preview", "samples.png", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "6,000" in shown.stdout
    with Image.open(tmp_path / "samples.png") as drawn:
        assert drawn.format == "PNG"


def test_a_report_is_written_on_demand(lab: Path) -> None:
    shown = drilldown("report", "last", cwd=lab)
    assert shown.returncode == 0, shown.stderr
    assert (lab / shown.stdout.strip()).is_file()


def test_of_a_run_only_the_budget_can_be_changed(lab: Path) -> None:
    with pytest.raises(DrilldownError, match=r"--set recipe.epochs=5: the run is trained already; expected"):
        command("verdict", str(plain_run(lab)), "--set", "recipe.epochs=5", cwd=lab)


def test_a_drawn_digit_is_prepared_as_mnist_was(tmp_path: Path) -> None:

    page = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(page).line([(200, 40), (200, 160)], fill="black", width=12)
    page.save(tmp_path / "one.png")
    image = read_picture(tmp_path / "one.png")
    rows = (image > 25).any(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 20
    mass = image.double() / image.sum()
    assert abs(float((mass.sum(0) * (mass.new_tensor(range(28)) - 13.5)).sum())) <= 0.5
    assert abs(float((mass.sum(1) * (mass.new_tensor(range(28)) - 13.5)).sum())) <= 0.5


def a_folder(file: Path) -> None:
    file.mkdir()


def a_loop(file: Path) -> None:
    file.symlink_to(file)


def a_pipe(file: Path) -> None:
    os.mkfifo(file)


def a_link_to_nowhere(file: Path) -> None:
    file.symlink_to("nowhere")


def no_utf8(file: Path) -> None:
    file.write_bytes(b"\xff\xfe" * 20)


def nested(file: Path) -> None:
    file.write_text('{"a":' * 50_000 + "1" + "}" * 50_000)


def a_long_number(file: Path) -> None:
    file.write_text('{"seed": ' + "9" * 10_000 + "}")


def a_state_without_metadata(file: Path) -> None:
    file.write_bytes(safetensors.numpy.save({"weight": np.zeros(3, np.float32)}))


ODD = (a_folder, a_loop, a_pipe, a_link_to_nowhere, no_utf8, nested, a_long_number, a_state_without_metadata)


@pytest.mark.skipif(os.name != "posix", reason="pipes and links are those of POSIX")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("odd", ODD)
def test_the_list_of_runs_never_fails_because_of_one_folder(
    odd: Callable[[Path], None], lab: Path, tmp_path: Path
) -> None:
    source = next(lab.glob("runs/*/*/seed-0"))
    for name in ("summary.json", "state.safetensors", "epochs.jsonl", "diverged.json", ".lock", "experiment.toml"):
        copy = Path(shutil.copytree(source, tmp_path / "some" / name / "seed-0"))
        if name != "summary.json":
            (copy / "summary.json").unlink()
        (copy / name).unlink(missing_ok=True)
        odd(copy / name)
    shutil.copytree(source, tmp_path / "some" / "good" / "seed-0")
    out, err = command("runs", "--runs", str(tmp_path), cwd=lab)
    assert "some/good/seed-0" in out
    assert "Traceback" not in err
    documents = json.loads(command("runs", "--json", "--runs", str(tmp_path), cwd=lab)[0])
    assert len(documents) == len(out.splitlines()) - 1
    statuses = {"finished", "interrupted", "diverged", "damaged"}
    assert {document["status"] for document in documents} <= statuses


def test_a_folder_that_cannot_be_read_is_named(lab: Path, tmp_path: Path) -> None:
    shutil.copytree(lab / "runs", tmp_path / "runs")
    for place in ("runs/odd", "runs/some/odd"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).mkdir(mode=0o000)
    try:
        os.listdir(tmp_path / "runs/odd")
        pytest.skip("root can read every folder")
    except PermissionError:
        pass
    out, err = command("runs", cwd=tmp_path)
    assert "seed-0" in out
    assert err.count("the folder cannot be read (Permission denied)") == 2


@pytest.mark.parametrize("name", ["summary.json", "epochs.jsonl", "weights.safetensors", "predictions.safetensors"])
@pytest.mark.parametrize("asked", ["report", "predict", "compare", "verdict", "run", "new"])
def test_each_command_names_the_damaged_file_that_it_reads(asked: str, name: str, lab: Path, tmp_path: Path) -> None:
    source = plain_run(lab)
    world(tmp_path, epochs=3)
    run = Path(shutil.copytree(source, tmp_path / "runs" / tmp_path.name / source.parent.name / "seed-0"))
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run / name).write_bytes(content)
    (run / "report.html").unlink()
    picture = Image.new("L", (28, 28), 255)
    picture.paste(0, (12, 5, 15, 24))
    picture.save(tmp_path / "one.png")
    commands = {
        "report": ("report", str(run)),
        "predict": ("predict", str(run), "one.png"),
        "compare": ("compare", str(run), "under-8k"),
        "verdict": ("verdict", str(run)),
        "run": ("run", "tiny.toml"),
        "new": ("new", "copy.toml", "--from", str(run)),
    }
    reads = {
        "report": {"summary.json", "epochs.jsonl", "weights.safetensors", "predictions.safetensors"},
        "predict": {"summary.json", "weights.safetensors"},
        "compare": {"summary.json", "epochs.jsonl"},
        "verdict": {"summary.json", "epochs.jsonl"},
        "run": {"summary.json", "epochs.jsonl", "weights.safetensors", "predictions.safetensors"},
        "new": {"summary.json"},
    }
    if name in reads[asked]:
        with pytest.raises(DrilldownError, match=re.escape(f"{run / name}".removeprefix(f"{tmp_path}/"))) as refused:
            command(*commands[asked], cwd=tmp_path)
        assert refused.value.exit_code == 2
    else:
        command(*commands[asked], cwd=tmp_path)


def test_a_loop_among_the_studies_hides_no_run(lab: Path, tmp_path: Path) -> None:
    shutil.copytree(lab / "runs", tmp_path / "runs")
    (tmp_path / "runs" / "loop").symlink_to("loop")
    assert "seed-0" in command("runs", cwd=tmp_path)[0]
    assert "Budget" in command("verdict", "last", cwd=tmp_path)[0]
