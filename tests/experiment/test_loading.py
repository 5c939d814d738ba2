"""Reading an experiment file: encodings, sizes, syntax, and where a path leads."""

from __future__ import annotations

import os

import pytest

from drilldown.data.loading import load_dataset
from drilldown.errors import DrilldownError
from drilldown.experiment.loading import read_experiment
from support.datasets import write_dataset, write_two_images
from support.experiments import PLAIN, error_of, errors_of


@pytest.mark.parametrize(
    "content",
    [PLAIN.encode("utf-8-sig"), PLAIN.replace("\n", "\r\n").encode(), PLAIN.replace("\n", "\r\n").encode("utf-8-sig")],
    ids=["BOM", "CRLF", "both"],
)
def test_files_from_windows_editors_are_accepted(write, content):
    assert read_experiment(write("a.toml", content)).settings() == read_experiment(write("b.toml", PLAIN)).settings()


def test_lines_are_counted_correctly_with_windows_line_ends(write):
    text = PLAIN.replace("[network]", 'target = """\nfour\nlines\n"""\n[network]') + "epochs = 0\n"
    assert error_of(write("a.toml", text)) == error_of(write("a.toml", text.replace("\n", "\r\n")))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
def test_other_encodings_are_refused_with_one_line(write, encoding):
    path = write("a.toml", f'# first line\ntitle = "é"\n{PLAIN}'.encode(encoding))
    assert "\n" not in error_of(path)
    assert error_of(path).startswith("a.toml:")


def test_a_byte_that_is_not_utf_8_is_reported_with_its_line(write):
    message = error_of(write("a.toml", b"# one\n# two\ntitle = 'caf\xe9'\n"))
    assert message.startswith("a.toml:3: byte 0xe9 at position ")
    assert "UTF-8" in message


def test_in_an_empty_file_title_and_network_are_missing(write):
    assert errors_of(write("a.toml", b"")) == ["a.toml: title: is missing", "a.toml: network: is missing"]


def test_a_folder_cannot_be_read(tmp_path):
    with pytest.raises(DrilldownError, match=r"cannot be read \(Is a directory\)"):
        read_experiment(tmp_path)


def test_a_missing_file_cannot_be_read(tmp_path):
    with pytest.raises(DrilldownError, match=r"none\.toml: cannot be read \(No such file"):
        read_experiment(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\x7fELF\x02\x01\x01\x00\x00", 1),
        (b"title = \n", 1),
        (b"# fine\n[network\n", 2),
        (b"title = 'a'\n\n}{\n", 3),
    ],
)
def test_a_syntax_error_is_reported_with_its_line(write, content, line):
    assert error_of(write("a.toml", content)).startswith(f"a.toml:{line}: not TOML: ")


@pytest.mark.parametrize("text", ['title = "', "x = " + "[" * 100_000, "x = " + "{a=" * 100_000, "x = 1" + "0" * 5_000])
def test_a_syntax_error_without_a_line_is_refused(write, text):
    assert error_of(write("a.toml", text)).startswith("a.toml")


def test_a_file_of_more_than_a_million_bytes_is_refused(write):
    assert "more than a million bytes" in error_of(write("a.toml", PLAIN + "#" * 1_000_000))
    assert read_experiment(write("b.toml", PLAIN + "#" * (1_000_000 - len(PLAIN)))).title == "A"


def test_a_file_of_a_terabyte_is_refused_without_reading_all_of_it(write):
    path = write("a.toml", PLAIN)
    os.truncate(path, 2**40)  # a sparse file, which takes no space
    assert "more than a million bytes" in error_of(path)


@pytest.mark.parametrize(
    "dataset", ["./nowhere", "\\u0000/x", "~nobody-of-that-name/x", "./" + "x" * 400, "/dev/null/x"]
)
def test_a_dataset_folder_that_does_not_exist_is_refused(write, dataset):
    message = error_of(write("a.toml", PLAIN.replace("glyphs", dataset)))
    assert message.startswith("a.toml:5: recipe.dataset: ")
    assert "no such folder" in message
    assert message.isprintable()


def test_a_dataset_folder_is_relative_to_the_file_that_names_it(write, tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    write_two_images(tmp_path / "base" / "data", side=5)
    write_two_images(tmp_path / "data", side=6)
    text = 'title = "A"\n[network]\nlayers = ["conv 3x3 2", "gap"]\n[recipe]\ndataset = "./data"\n'
    write("base/a.toml", text)
    child = write("next/b.toml", 'title = "B"\nextends = "../base/a.toml"\n')
    monkeypatch.chdir(tmp_path)
    assert read_experiment(child).image[0] == (1, 5, 5)
    assert read_experiment(child, ["recipe.dataset=./data"]).image[0] == (1, 6, 6)


def test_a_truncated_dataset_file_is_reported_with_the_line_of_the_experiment(write, tmp_path):
    file = write_two_images(tmp_path / "data", side=5) / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    message = error_of(write("a.toml", PLAIN.replace("glyphs", "./data").replace("linear 10", "linear 2")))
    assert message.startswith("a.toml:5: recipe.dataset: ")
    assert "t10k-images-idx3-ubyte: 49 bytes of data; expected 50, as the header says (2 x 5 x 5)" in message


def test_damaged_pixels_are_reported_when_they_are_read(write, tmp_path):
    file = write_dataset(tmp_path / "data", naming="{}.gz") / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-5])
    experiment = read_experiment(write("a.toml", PLAIN.replace("glyphs", "./data").replace("linear 10", "linear 3")))
    assert experiment.image == ((1, 5, 7), 3)
    for read in (lambda: experiment.fingerprint, lambda: load_dataset(experiment.recipe.dataset)):
        with pytest.raises(DrilldownError, match=r"train-images-idx3-ubyte\.gz: damaged gzip data"):
            read()


def test_a_given_name_replaces_the_name_of_the_path(write):
    path = write("folder/file.toml", PLAIN)
    assert (read_experiment(path).name, read_experiment(path, name="study/step").name) == ("folder/file", "study/step")
