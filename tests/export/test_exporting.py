"""The export of a run: judged files alone are published, and what cannot be exported is refused by name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from drilldown import Compute, DrilldownError, Folders, Run, export_run, load, perform, write_report
from drilldown.export.document import read_export
from drilldown.export.names import FORMATS
from support.exports import need_program
from support.modules import NET

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
onnxruntime = pytest.importorskip("onnxruntime")
LAYERS = ["conv 5x5 6 stride=2, bn, relu, dropout 0.1", {"skip": ["conv 3x3 6 pad=same, bn"]}, "relu, maxpool 2",
          "conv 3x3 8 expand=2 pad=same, bn, relu", "gap, linear 10"]  # fmt: skip


def train(folder: Path, network: str, *, recipe: str = "", **files: str) -> Run:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    recipe = (
        f'[recipe]\n{recipe}dataset = "glyphs"\nepochs = 2\nbatch_size = 32\noptimizer = {{ name = "sgd", lr = 0.1 }}\n'
    )
    (folder / "tiny.toml").write_text(f'title = "Tiny"\n[network]\n{network}\n{recipe}')
    return perform(load(folder / "tiny.toml"), compute=Compute(engine="torch"), folders=Folders(runs=folder / "runs"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(
        tmp_path_factory.mktemp("trained"),
        f"layers = {json.dumps(LAYERS).replace(': ', ' = ')}".replace('"skip" =', "skip ="),
    )


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    """A copy of a finished run."""
    place = tmp_path / "runs" / Path(*trained.path.parts[-3:])
    shutil.copytree(trained.path, place)
    return Run(place)


def test_all_formats_are_published_with_counts_that_their_logits_give(run: Run) -> None:
    exported, split = export_run(run), run.dataset().test
    folder = run.path / "export"
    files = {file for judged in exported.formats for file in judged.files}
    assert {file.name for file in folder.iterdir()} == files | {"export.json", "README.md"}
    assert [judged.format for judged in exported.formats] == list(FORMATS)
    assert exported.passed
    assert not exported.refused
    session = onnxruntime.InferenceSession(folder / "net-int8.onnx")
    found = session.run(None, {"image": split.images.numpy()})[0].argmax(1)
    (judged,) = (judged for judged in exported.formats if judged.format == "onnx-int8")
    assert judged.correct == int((found == split.labels.numpy()).sum())
    classes = enumerate(zip(run.logits().argmax(1).tolist(), found.tolist(), strict=True))
    assert [(item.image, item.run, item.exported) for item in judged.flipped] == [
        (index, before, after) for index, (before, after) in classes if before != after
    ]
    document = json.loads((folder / "export.json").read_text())
    assert {item["format"]: item["correct"] for item in document["formats"]} == {
        item.format: item.correct for item in exported.formats
    }
    assert read_export(run) == exported


def test_a_run_with_int4_is_exported_with_packed_weights(tmp_path: Path) -> None:
    layers = '"conv 5x5 8 stride=2, bn, relu", "conv 3x3 8, relu, bn, conv 3x3 10 expand=2, bn, relu", "gap, linear 10"'
    run = train(tmp_path / "int4", f"layers = [{layers}]", recipe='precision = "int4"\n')
    exported = export_run(run)
    assert exported.passed
    constants = {judged.format: judged.constants for judged in exported.formats}
    assert set(constants) == set(FORMATS)
    weights, channels = [25 * 8, 9 * 8 * 8 // 2, 9 * 8 * 10 // 2, 10 * 10], [8, 8, 10]
    assert constants["c-int8"] == sum(weights) + 6 * sum(channels) + 4 * 10
    assert "weights of 4 bits" in (run.path / "export" / "net_int8.c").read_text()
    assert exported.formats[0].correct == run.predictions().tally.correct


def test_the_self_test_passes_and_a_flipped_weight_makes_it_fail(run: Run, tmp_path: Path) -> None:
    export_run(run, ["c-int8"])
    folder = run.path / "export"

    def wrong_images(source: str) -> int:
        (tmp_path / "net_int8.c").write_text(source)
        shutil.copy(folder / "net_int8.h", tmp_path)
        command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", f"-I{tmp_path}"]
        sources = [str(tmp_path / "net_int8.c"), str(folder / "selftest.c")]
        subprocess.run([*command, *sources, "-o", str(tmp_path / "test")], check=True)
        return subprocess.run([str(tmp_path / "test")], check=False).returncode

    source = (folder / "net_int8.c").read_text()
    assert wrong_images(source) == 0
    weight = re.search(r"linear1_weights\[\d+\] = \{\s*(-?\d+)", source)
    assert weight
    start, end = weight.span(1)
    assert wrong_images(f"{source[:start]}{-int(weight[1]) or 1}{source[end:]}") > 0


def test_an_own_network_becomes_onnx_alone(tmp_path: Path) -> None:
    run = train(tmp_path / "own", 'python = "model.py:Net"', model=NET)
    exported = export_run(run)
    assert [judged.format for judged in exported.formats] == ["onnx"]
    assert exported.passed
    assert set(exported.refused) == {"onnx-int8", "c", "c-int8"}
    session = onnxruntime.InferenceSession(run.path / "export" / "net.onnx")
    images = run.dataset().test.images[:7]
    logits = session.run(None, {"image": images.numpy()})[0]
    assert torch.allclose(torch.from_numpy(logits), run.logits()[:7], atol=1e-4)
    with pytest.raises(DrilldownError, match=r"--to c: not possible: the network is Python code \(model.py:Net\)"):
        export_run(run, ["c"])


def test_a_layer_without_integers_is_refused_by_name_and_the_others_are_exported(tmp_path: Path) -> None:
    run = train(tmp_path / "norm", 'layers = ["conv 3x3 4 stride=3, gn 2, relu, se 2", "gap, linear 10"]')
    exported = export_run(run)
    assert [judged.format for judged in exported.formats] == ["onnx", "c"]
    assert exported.passed
    assert exported.refused["c-int8"] == "network: gn1: gn cannot be calculated with 8-bit integers"
    with pytest.raises(DrilldownError, match="--to c-int8: not possible: network: gn1"):
        export_run(run, ["c-int8"])


def test_a_file_that_fails_its_check_is_not_published(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler with an error: it rounds by another rule."""
    compiler = tmp_path / "wrong-cc"
    compiler.write_text(
        '#!/bin/sh\nfor file in "$@"; do case $file in *net_int8.c) '
        'sed -i \'s/ + 1) >> 1/ + 2) >> 1/\' "$file";; esac; done\nexec gcc "$@"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    exported = export_run(run, ["c", "c-int8"])
    good, bad = exported.formats
    assert good.passed
    assert not bad.passed
    assert re.fullmatch(r"[\d,]+ of 10,000 logits differ from the reference", bad.missed or "")
    assert not exported.passed
    names = {file.name for file in (run.path / "export").iterdir()}
    assert names == {"net_f32.h", "net_f32.c", "export.json", "README.md"}
    assert "not published" in (run.path / "export" / "README.md").read_text()


def test_logits_that_differ_on_a_target_alone_fail_the_check(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cross compiler with an error: it multiplies by other weights."""
    need_program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    need_program("qemu-system-arm", "qemu-system-arm")
    compiler = tmp_path / "arm-none-eabi-gcc"
    compiler.write_text(
        '#!/bin/sh\nif [ -f net_int8.c ]; then sed -i "s/ + 1) >> 1/ + 2) >> 1/" net_int8.c; fi\n'
        f'exec {shutil.which("arm-none-eabi-gcc")} "$@"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    exported = export_run(run, ["c", "c-int8"], targets=["cortex-m3", "host"])
    assert not exported.passed
    float_code, int8_code = exported.formats
    assert float_code.passed
    assert re.fullmatch(
        r"on cortex-m3, [\d,]+ logits of [\d,]+ images differ from the reference", int8_code.missed or ""
    )
    assert {file.name for file in (run.path / "export").iterdir()} == {
        "net_f32.h", "net_f32.c", "export.json", "README.md"
    }  # fmt: skip
    assert [figures.target for figures in exported.targets] == ["cortex-m3", "host"]
    assert read_export(run) == exported


def test_a_missing_compiler_or_package_is_named_and_nothing_changes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    export_run(run, ["c-int8"], "layers")
    before = {file.name: file.read_bytes() for file in (run.path / "export").iterdir()}
    with monkeypatch.context() as patch:
        patch.setenv("CC", "no-such-compiler")
        with pytest.raises(DrilldownError, match=r"no C compiler was found \(no-such-compiler\).*apt install gcc"):
            export_run(run)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(
            DrilldownError, match=r'onnxruntime is not installed; install it with: pip install "drilldown\[export\]"'
        ):
            export_run(run)
    assert {file.name: file.read_bytes() for file in (run.path / "export").iterdir()} == before
    assert not list(run.path.glob(".export-*"))


def test_the_report_shows_the_export_and_a_new_training_removes_it(run: Run) -> None:
    assert "On a chip" not in write_report(run).markdown.read_text()
    exported = export_run(run, ["c-int8"], targets=["host"])
    report = write_report(run)
    (judged,) = exported.formats
    sizes = exported.targets[0].sizes
    assert sizes is not None
    assert f"| host | {sizes.flash:,} | {sizes.text:,} |" in report.markdown.read_text()
    assert f'<th scope="row">host</th><td>{sizes.flash:,}</td>' in report.html.read_text()
    assert f"| host | {sizes.flash:,} |" in (run.path / "export" / "README.md").read_text()
    assert f"{judged.ram:,} B" in report.markdown.read_text().partition("## On a chip")[2]
    assert f"{judged.ram:,} B" in report.html.read_text().partition('id="chip-title"')[2]
    run.clear()
    assert not (run.path / "export").exists()


def test_an_export_of_other_weights_does_not_count(run: Run) -> None:
    export_run(run, ["c-int8"])
    document = run.path / "export" / "export.json"
    content = json.loads(document.read_text())
    del content["sha256"]
    document.write_text(json.dumps({**content, "weights": "0" * 64}))
    assert read_export(run) is None
    document.write_text(json.dumps({**content, "formats": 3}))
    with pytest.raises(DrilldownError, match='"formats" is invalid; repeat drilldown export'):
        read_export(run)


def test_leftovers_of_a_killed_export_and_a_link_are_replaced(run: Run, tmp_path: Path) -> None:
    (run.path / ".export-killed" / "new").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", run.path / "export")
    export_run(run, ["c-int8"])
    assert not (run.path / "export").is_symlink()
    assert not list((tmp_path / "elsewhere").iterdir())
    assert not list(run.path.glob(".export-*"))
