"""IDX files under the names, types and shapes that they have in the world, and the message for each wrong one."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from drilldown.data.loading import dataset_info, load_dataset
from drilldown.errors import DrilldownError
from support.datasets import FILES, random_images, write_dataset

STEMS = tuple(FILES.values())


def error_of(path: Path | str) -> str:
    with pytest.raises(DrilldownError) as caught:
        load_dataset(str(path))
    assert len(caught.value.problems) == 1
    return str(caught.value)


def write_array(file: Path, array: np.ndarray, element: int, kind: str) -> None:
    """Writes an array as an IDX file of any type, without the package's own code."""
    header = struct.pack(f">HBB{array.ndim}I", 0, element, array.ndim, *array.shape)
    file.write_bytes(header + array.astype(kind).tobytes())


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "plain")


@pytest.mark.parametrize(
    "rename",
    [
        lambda stem: f"emnist-digits-{stem.replace('t10k', 'test')}",
        lambda stem: f"qmnist-{stem.replace('t10k', 'test')}",
        lambda stem: stem.replace("-idx", ".idx"),
        lambda stem: stem.upper(),
        lambda stem: stem.replace("-", "_"),
        lambda stem: stem.replace("-", "."),
        lambda stem: stem.replace("t10k", "Test").replace("train", "Train"),
    ],
    ids=["emnist", "qmnist", "dot", "capitals", "underscores", "dots", "test"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_the_names_of_the_world_are_read(tmp_path, plain, rename, packed):
    folder = write_dataset(tmp_path / "named", naming="{}.gz" if packed else "{}")
    for file in [*folder.iterdir()]:
        stem = file.name.removesuffix(".gz")
        file.rename(folder / (rename(stem) + ".gz" * packed))
    read = load_dataset(str(folder))
    assert read.identity == load_dataset(str(plain)).identity
    assert dataset_info(str(folder)).image_shape == read.image_shape


@pytest.mark.parametrize("inner", ["{}", "data", "{}.gz"])
def test_folders_named_as_the_files_are_looked_into(tmp_path, plain, inner):
    source = write_dataset(tmp_path / "source", naming="{}.gz" if inner.endswith("gz") else "{}")
    for file in [*source.iterdir()]:
        stem = file.name.removesuffix(".gz")
        (tmp_path / "nested" / stem).mkdir(parents=True)
        file.rename(tmp_path / "nested" / stem / inner.format(stem))
    assert load_dataset(str(tmp_path / "nested")).identity == load_dataset(str(plain)).identity


def test_a_folder_that_holds_only_the_folder_of_the_files_is_passed_through(tmp_path, plain):
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    shutil.copytree(plain, tmp_path / "outer" / "inner" / "letters")
    assert load_dataset(str(tmp_path / "outer")).identity == load_dataset(str(plain)).identity


@pytest.mark.parametrize(("element", "kind"), [(0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4")])
def test_labels_of_any_whole_type_are_read(plain, element, kind):
    first = load_dataset(str(plain))
    write_array(plain / STEMS[1], np.arange(12) % 3, element, kind)
    assert load_dataset(str(plain)).identity == first.identity


def test_the_first_column_of_a_table_of_labels_is_the_class(plain):
    first = load_dataset(str(plain))
    table = np.stack([np.arange(12) % 3, *[np.full(12, 9)] * 7], axis=1)
    (plain / STEMS[1]).unlink()
    write_array(plain / "train-labels-idx2-int", table, 0x0C, ">i4")
    assert load_dataset(str(plain)).identity == first.identity


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("last", [False, True], ids=["NCHW", "NHWC"])
def test_images_with_channels_are_read(tmp_path, channels, last):
    folder = write_dataset(tmp_path / "colour")
    for stem, count in ((STEMS[0], 12), (STEMS[2], 6)):
        images = np.random.default_rng(count).integers(0, 256, (count, channels, 6, 7))
        (folder / stem).unlink()
        stored = images.transpose(0, 2, 3, 1) if last else images
        write_array(folder / stem.replace("idx3", "idx4"), stored, 0x08, "u1")
        if stem == STEMS[0]:
            expected = images
    dataset = load_dataset(str(folder))
    assert dataset.image_shape == dataset_info(str(folder)).image_shape == (channels, 6, 7)
    assert np.array_equal(dataset.train.images.numpy(), expected)
    assert dataset.mean == tuple(np.round(expected.mean((0, 2, 3)) / 255, 4))
    assert dataset.std == tuple(np.round((expected / 255).std((0, 2, 3)), 4))


def test_the_characters_of_emnist_are_the_names(tmp_path):
    folder = write_dataset(
        tmp_path / "gzip", naming="emnist-letters-{}", train_labels=np.arange(12) % 3 + 1,
        test_labels=np.arange(6) % 3 + 1,
    )  # fmt: skip
    (folder / "emnist-letters-mapping.txt").write_text("1 65 97 \n2 66 98\n3 67 99\n")
    dataset = load_dataset(str(folder))
    assert dataset.class_names == dataset.names == ("A", "B", "C")
    assert dataset.train.labels.tolist() == (np.arange(12) % 3).tolist()


def test_emnist_gets_the_advice_to_say_the_orientation(tmp_path):
    folder = str(write_dataset(tmp_path / "emnist"))
    assert 'orientation = "transposed"' in load_dataset(folder).notices[-1]
    assert load_dataset(folder, orientation="transposed").notices == ()
    assert load_dataset(folder, orientation="upright").notices == ()


def test_one_of_several_datasets_is_named_by_the_beginning_of_its_files(tmp_path):
    for name, seed in (("digits", 3), ("letters", 4)):
        write_dataset(tmp_path / "gzip", naming=f"emnist-{name}-{{}}", train_images=random_images(12, seed=seed))
    message = error_of(tmp_path / "gzip")
    assert "several datasets: emnist-digits, emnist-letters; expected one; name it: " in message
    read = load_dataset(str(tmp_path / "gzip" / "emnist-letters"))
    assert np.array_equal(read.train.images[:, 0].numpy(), random_images(12, seed=4))


@pytest.mark.parametrize("stem", STEMS)
def test_a_missing_file_is_named(plain, stem):
    (plain / stem).unlink()
    assert error_of(plain).endswith(f"missing: {stem}")


def test_a_path_of_one_idx_file_is_answered_with_its_folder(plain):
    assert f"one IDX file; expected the folder that holds all four; name the folder: {plain}/" in error_of(
        plain / STEMS[0]
    )


@pytest.mark.parametrize("values", [[-1, 0, 1], [0, 300, 1]])
def test_pixels_outside_a_byte_are_refused(plain, values):
    write_array(plain / STEMS[0], np.resize(values, (12, 5, 7)), 0x0C, ">i4")
    assert f"pixels from {min(values)} to {max(values)}; expected 0 to 255" in error_of(plain)


def test_a_misspelt_path_gets_a_suggestion(plain):
    message = error_of(plain.with_name("plian"))
    assert "no such folder; expected IDX files" in message
    assert message.endswith('did you mean "plain"?')
