"""Datasets as folders of pictures by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drilldown.data.image_settings import ImageSettings
from drilldown.data.loading import dataset_info, load_dataset
from drilldown.data.own import folders
from drilldown.data.progress import show_reading
from drilldown.errors import DrilldownError
from support.own import CLASSES, save, shapes, write_pictures


def error_of(path: Path, image: ImageSettings | None = None) -> str:
    with pytest.raises(DrilldownError) as caught:
        load_dataset(str(path), image=image)
    return str(caught.value)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "PNG"])
def test_training_and_test_pictures_are_read_as_they_are(tmp_path, ending):
    dataset = load_dataset(str(write_pictures(tmp_path / "photos", ending=ending)))
    images, labels = shapes(30)
    assert np.array_equal(dataset.train.images.numpy(), images.transpose(0, 3, 1, 2))
    assert np.array_equal(dataset.train.labels.numpy(), labels)
    assert len(dataset.test) == 12
    assert dataset.class_names == CLASSES
    info = dataset_info(str(tmp_path / "photos"))
    assert (info.image_shape, info.classes, info.class_names) == ((3, 12, 12), 3, CLASSES)
    assert dataset.notices == ("30 training images in train/, 12 test images in test/",)


def test_jpeg_is_read(tmp_path):
    dataset = load_dataset(str(write_pictures(tmp_path / "photos", ending="jpg")))
    difference = dataset.train.images.numpy() - shapes(30)[0].transpose(0, 3, 1, 2).astype(float)
    assert dataset.image_shape == (3, 12, 12)
    assert np.abs(difference).mean() < 30


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA"])
def test_grey_pictures_have_one_channel_however_they_are_stored(tmp_path, mode):
    images, labels = shapes(20, channels=1)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = tmp_path / "grey" / CLASSES[label] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:, :, 0]).convert(mode).save(file)
    dataset = load_dataset(str(tmp_path / "grey"))
    together = np.concatenate([dataset.train.images.numpy(), dataset.test.images.numpy()])
    assert dataset.image_shape == (1, 12, 12)
    assert sorted(map(bytes, together)) == sorted(map(bytes, images))


def test_one_coloured_picture_makes_all_three_channels(tmp_path):
    folder = write_pictures(tmp_path / "mixed", channels=1)
    save(shapes(1)[0][0], folder / "train" / "circle" / "colour.png")
    assert load_dataset(str(folder)).image_shape == (3, 12, 12)


def test_transparent_parts_become_paper(tmp_path):
    folder = write_pictures(tmp_path / "photos")
    picture = Image.new("RGBA", (12, 12), (0, 0, 0, 0))
    picture.paste((200, 10, 10, 255), (4, 4, 8, 8))
    picture.save(folder / "train" / "circle" / "a-clear.png")
    images = load_dataset(str(folder)).train.images
    assert (images == 255).sum() >= 3 * (144 - 16)


def test_one_tree_is_split_by_class_and_always_the_same(tmp_path):
    folder = write_pictures(tmp_path / "tree", 30, 0)
    dataset = load_dataset(str(folder))
    assert (len(dataset.train), dataset.test.labels.bincount().tolist()) == (24, [2, 2, 2])
    assert "6 of 30 were chosen, a fifth of each class" in dataset.notices[0]
    again = load_dataset(str(folder.rename(tmp_path / "moved")))
    assert again.identity == dataset.identity


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "testing"), ("train", "val"), ("TRAIN", "valid")])
def test_the_usual_names_of_the_parts_are_known(tmp_path, names):
    folder = write_pictures(tmp_path / "photos")
    for old, new in zip(("train", "test"), names, strict=True):
        (folder / old).rename(folder / f"{new}-")
        (folder / f"{new}-").rename(folder / new)
    dataset = load_dataset(str(folder))
    assert (len(dataset.train), len(dataset.test)) == (30, 12)
    assert ("there are no test images" in dataset.notices[0]) == names[1].startswith("val")


def test_validation_pictures_beside_test_pictures_are_left_out_and_named(tmp_path):
    folder = write_pictures(tmp_path / "photos")
    write_pictures(folder / "val", 9, 0)
    dataset = load_dataset(str(folder))
    assert len(dataset.test) == 12
    assert dataset.notices[0].startswith("9 validation images are left out")


def test_only_training_pictures_are_split(tmp_path):
    write_pictures(tmp_path / "photos" / "train", 30, 0)
    assert len(load_dataset(str(tmp_path / "photos")).test) == 6


def test_hidden_files_and_other_files_do_not_count(tmp_path):
    folder = write_pictures(tmp_path / "photos")
    first = load_dataset(str(folder)).identity
    for name in (".DS_Store", "train/.hidden/a.png", "train/circle/._0.png", "__MACOSX/x/a.png", "train/circle/a.txt",
                 "README.md"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    assert load_dataset(str(folder)).identity == first


def test_folders_with_numbers_are_in_the_order_of_the_numbers(tmp_path):
    for number in range(11):
        save(shapes(1, seed=number)[0][0], tmp_path / "digits" / "train" / str(number) / "a.png")
        save(shapes(1, seed=number)[0][0], tmp_path / "digits" / "test" / str(number) / "b.png")
    dataset = load_dataset(str(tmp_path / "digits"))
    assert dataset.class_names is None
    assert dataset.train.images[dataset.train.labels == 10].numpy().tolist() == [
        shapes(1, seed=10)[0][0].transpose(2, 0, 1).tolist()
    ]


def test_pictures_below_folders_below_a_class_are_its_own(tmp_path):
    folder = write_pictures(tmp_path / "photos")
    first = load_dataset(str(folder)).train.labels.bincount().tolist()
    save(shapes(1)[0][0], folder / "train" / "cross" / "more" / "again" / "x.png")
    (folder / "train" / "cross" / "loop").symlink_to(folder / "train", target_is_directory=True)
    assert load_dataset(str(folder)).train.labels.bincount().tolist() == [first[0], first[1] + 1, first[2]]


# ---- sizes


def test_several_sizes_need_a_size_and_the_message_says_how(tmp_path):
    folder = write_pictures(tmp_path / "photos")
    save(shapes(1, side=20)[0][0], folder / "train" / "cross" / "large.png")
    assert error_of(folder) == (
        f"{folder}: pictures of 2 sizes, from 12x12 to 20x20; expected one size; "
        'say it in [recipe]: image = { size = 32, fit = "pad" }'
    )
    for fit in ("pad", "crop", "stretch"):
        settings = ImageSettings(size=8, fit=fit)
        assert load_dataset(str(folder), image=settings).image_shape == (3, 8, 8)
        assert dataset_info(str(folder), image=settings).image_shape == (3, 8, 8)


def test_the_size_belongs_to_the_identity(tmp_path):
    folder = str(write_pictures(tmp_path / "photos"))
    found = [load_dataset(folder, image=ImageSettings(size=size)).identity for size in (8, 12)]
    assert found[1] == load_dataset(folder).identity != found[0]


def test_too_large_images_are_refused_before_they_are_read(tmp_path, monkeypatch):
    folder = write_pictures(tmp_path / "photos")
    monkeypatch.setattr("drilldown.memory.available_memory", lambda: 64_000_000)
    message = error_of(folder, ImageSettings(size=1024))
    assert "reading the pictures takes about 328 MB of memory; 64 MB are free" in message
    assert message.endswith("make them smaller: image = { size = 32 }")


# ---- refused


def test_all_broken_pictures_are_named(tmp_path):
    folder = write_pictures(tmp_path / "photos")
    broken = [folder / "train" / "circle" / "0.png", folder / "test" / "cross" / "1.png"]
    broken[0].write_bytes(b"")
    broken[1].write_bytes(broken[1].read_bytes()[:60])
    first, second = sorted(error_of(folder).splitlines(), key=lambda line: "train" not in line)
    assert first == f"{broken[0]}: an empty file; expected a picture file such as PNG"
    assert second.startswith(f"{broken[1]}: a picture that is cut off")


def test_of_very_many_broken_pictures_the_first_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MOST_PROBLEMS", 2)
    folder = write_pictures(tmp_path / "photos")
    for file in (folder / "train").rglob("*.png"):
        file.write_bytes(b"text")
    lines = error_of(folder).splitlines()
    assert len(lines) == 3
    assert lines[2] == f"{folder}: 28 more pictures cannot be read"


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (["train/circle", "train/cross"], "only one class (square)"),
        (["train/circle"], 'the class "circle", which has no training images; expected the classes of train/: cross'),
        (["train/circle", "train/cross", "train/square"], "no folders with pictures; expected a folder for each class"),
    ],
)
def test_missing_classes_are_named(tmp_path, remove, message):
    folder = write_pictures(tmp_path / "photos")
    for name in remove:
        for file in (folder / name).iterdir():
            file.unlink()
        (folder / name).rmdir()
    assert message in error_of(folder)


def test_pictures_without_folders_of_classes_are_refused(tmp_path):
    save(shapes(1)[0][0], tmp_path / "photos" / "a.png")
    assert error_of(tmp_path / "photos").endswith(
        "pictures that are in no folder of a class; expected a folder of pictures for each class"
    )


def test_progress_is_told_while_pictures_are_read(tmp_path):
    told: list[tuple[str, int, int]] = []
    show_reading(lambda *news: told.append(news))
    try:
        folder = str(write_pictures(tmp_path / "photos"))
        load_dataset(folder)
        assert told[0] == ("pictures of photos", 0, 42)
        assert told[-1] == ("pictures of photos", 42, 42)
        told.clear()
        load_dataset(folder, orientation="upright")  # from the cache
        assert told == []
    finally:
        show_reading(None)
