"""Datasets in CSV tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from drilldown.data.loading import dataset_info, load_dataset
from drilldown.data.own import tables
from drilldown.errors import DrilldownError
from support.own import shapes

TRAIN, TEST = shapes(30, side=4, channels=1), shapes(12, side=4, seed=1, channels=1)


def lines(images: np.ndarray, labels: np.ndarray, separator: str = ",", *, last: bool = False) -> list[str]:
    rows = [separator.join(map(str, image.ravel())) for image in images]
    pairs = [(row, str(label)) if last else (str(label), row) for row, label in zip(rows, labels, strict=True)]
    return [separator.join(pair) for pair in pairs]


HEAD = "label," + ",".join(f"pixel{number}" for number in range(16))


def write(file: Path, *rows: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(rows) + "\n"
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return str(file)


def error_of(path: Path | str) -> str:
    with pytest.raises(DrilldownError) as caught:
        load_dataset(str(path))
    assert len(caught.value.problems) == 1
    return str(caught.value).removeprefix(f"{path}: ")


def test_kaggles_two_tables_are_read(tmp_path):
    write(tmp_path / "digits" / "train.csv", HEAD, *lines(*TRAIN))
    write(tmp_path / "digits" / "test.csv", HEAD, *lines(*TEST))
    dataset = load_dataset(str(tmp_path / "digits"))
    assert np.array_equal(dataset.train.images.numpy(), TRAIN[0].transpose(0, 3, 1, 2))
    assert np.array_equal(dataset.test.labels.numpy(), TEST[1])
    assert (dataset.image_shape, dataset.notices) == ((1, 4, 4), ())
    info = dataset_info(str(tmp_path / "digits"))
    assert (info.image_shape, info.classes) == ((1, 4, 4), 3)


def test_a_competitions_table_without_labels_is_left_out(tmp_path):
    write(tmp_path / "digits" / "train.csv", HEAD, *lines(*TRAIN))
    unlabelled = [line.split(",", 1)[1] for line in lines(*TEST)]
    write(tmp_path / "digits" / "test.csv", HEAD.split(",", 1)[1], *unlabelled)
    dataset = load_dataset(str(tmp_path / "digits"))
    assert (len(dataset.train), len(dataset.test)) == (24, 6)
    assert dataset.notices[0] == "test.csv has no labels, and is left out"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("plain.csv", [HEAD, *lines(*TRAIN)]),
        ("no-head.csv", lines(*TRAIN)),
        ("packed.csv.gz", [HEAD, *lines(*TRAIN)]),
        ("semicolons.csv", lines(*TRAIN, ";")),
        ("tabs.tsv", lines(*TRAIN, "\t")),
        ("last.csv", [",".join([*HEAD.split(",")[1:], "label"]), *lines(*TRAIN, last=True)]),
        ("points.csv", [line.replace(",", ".0,") for line in lines(*TRAIN)]),
        ("quotes.csv", ['"' + line.replace(",", '","') + '"' for line in lines(*TRAIN)]),
        ("mark.csv", ["\ufeff" + HEAD, *lines(*TRAIN), ""]),
        ("windows.csv", [line + "\r" for line in [HEAD, *lines(*TRAIN)]]),
        ("numbered.csv", ["0," + ",".join(f"0.{n}" for n in range(16)), *lines(*TRAIN)]),
    ],
)
def test_other_ways_to_write_a_table_do_not_matter(tmp_path, name, rows):
    first = load_dataset(write(tmp_path / "first.csv", HEAD, *lines(*TRAIN)))
    assert load_dataset(write(tmp_path / name, *rows)).identity == first.identity


def test_long_tables_are_read_in_parts(tmp_path, monkeypatch):
    first = load_dataset(write(tmp_path / "first.csv", HEAD, *lines(*TRAIN)))
    monkeypatch.setattr(tables, "LINES_AT_ONCE", 7)
    assert load_dataset(write(tmp_path / "again.csv", HEAD, *lines(*TRAIN))).identity == first.identity


def test_words_and_numbers_with_gaps_become_names(tmp_path):
    words = np.array(["cat", "dog", "ant"])[TRAIN[1]]
    dataset = load_dataset(write(tmp_path / "words.csv", *lines(TRAIN[0], words)))
    assert dataset.class_names == ("ant", "cat", "dog")
    numbers = load_dataset(write(tmp_path / "gap.csv", *lines(TRAIN[0], np.array([2, 10, 24])[TRAIN[1]])))
    assert numbers.class_names == ("2", "10", "24")
    assert "the labels 2, 10, 24 are the names of classes 0 to 2" in numbers.notices[-1]


def test_colour_pixels_are_neighbours(tmp_path):
    images, labels = shapes(12, side=4)
    dataset = load_dataset(write(tmp_path / "rgb.csv", *lines(images, labels)))
    together = np.concatenate([dataset.train.images.numpy(), dataset.test.images.numpy()])
    assert dataset.image_shape == (3, 4, 4)
    assert sorted(map(bytes, together)) == sorted(map(bytes, images.transpose(0, 3, 1, 2).copy()))


ROWS = lines(*TRAIN)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "line 1: 1 columns; expected a line for each image"),
        ([HEAD], "no lines with pixels"),
        ([HEAD, ROWS[0], "1,2,3"], "line 3: 3 columns; expected 17, as in line 1"),
        ([HEAD, *ROWS[:3], ROWS[3].rsplit(",", 1)[0] + ",x"], 'line 5, column 17: the pixel "x"; expected a whole'),
        ([HEAD, *ROWS[:3], ROWS[3].rsplit(",", 1)[0] + ",256"], 'line 5, column 17: the pixel "256"'),
        ([HEAD, *ROWS[:3], ROWS[3].rsplit(",", 1)[0] + ","], 'line 5, column 17: the pixel ""'),
        ([HEAD, *ROWS[:3], ROWS[3].rsplit(",", 1)[0] + ",nan"], 'line 5, column 17: the pixel "nan"'),
        ([HEAD, *ROWS[:3], "," + ROWS[3].split(",", 1)[1]], "line 5: no label"),
        ([row.rsplit(",", 1)[0] for row in ROWS], "15 pixels an image; expected a square number"),
        ([f"0,{row.split(',', 1)[1]}" for row in ROWS], "only one class"),
        ([f"{n},{row.split(',', 1)[1]}" for n, row in enumerate(ROWS)], "30 different labels in 30 lines"),
    ],
)
def test_wrong_tables_are_refused_with_line_and_column(tmp_path, rows, message):
    file = tmp_path / "digits.csv"
    write(file, *rows)
    assert message in error_of(file)


def test_several_tables_without_train_and_test_in_their_names_are_refused(tmp_path):
    for name in ("one.csv", "two.csv"):
        write(tmp_path / "many" / name, *ROWS)
    assert error_of(tmp_path / "many").startswith("several tables: one.csv, two.csv; expected one with train")


@pytest.mark.parametrize("name", ["digits.csv", "digits.csv.gz"])
def test_the_memory_is_that_of_the_text_also_where_it_is_compressed(tmp_path, monkeypatch, name):
    text = [HEAD, *(f"{label},{','.join(['000'] * 16)}" for label in range(2)), " " * 40_000_000]
    file = write(tmp_path / name, *text)
    monkeypatch.setattr("drilldown.memory.available_memory", lambda: 90_000_000)
    assert "loading the dataset takes about 104 MB of memory; 90 MB are free" in error_of(file)
