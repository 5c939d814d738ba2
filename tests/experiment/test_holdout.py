"""The validation split of a recipe: a number or a table, in files, `--set`, messages, differences and words."""

from __future__ import annotations

import hashlib
import json

import pytest

from drilldown.data.writers import WriterCounts
from drilldown.experiment.difference import SettingChange, changed_components, find_difference
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.holdout import Holdout, describe_split
from drilldown.experiment.loading import load_experiment, read_experiment
from support.experiments import PLAIN, error_of

MNIST = PLAIN.replace('dataset = "glyphs"\n', "")
BY_WRITER = 'holdout = { images = 500, by = "writer" }'


def holdout_line(experiment: Experiment) -> str:
    (line,) = [line for line in experiment.to_toml().splitlines() if line.startswith("holdout")]
    return line


@pytest.mark.parametrize(
    "written", ["500", "{ images = 500 }", '{ images = 500, by = "class" }', '{by="class",images=500}']
)
def test_a_number_and_a_table_by_class_are_the_same_setting(write, written):
    experiment = read_experiment(write("a.toml", f"{PLAIN}holdout = {written}\n"))
    assert experiment.recipe.holdout == Holdout(images=500, by="class")
    assert holdout_line(experiment) == "holdout = 500"
    # The fingerprint of version 0.1, where the setting was a number.
    document = {
        "network": "conv 3x3 4, bn, relu, gap, linear 10",
        "recipe": {"dataset": "glyphs", "holdout": 500},
    }
    assert experiment.fingerprint == hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:8]


def test_a_split_by_writer_is_another_setting_and_is_written_as_a_table(write):
    experiment = read_experiment(write("a.toml", f"{MNIST}{BY_WRITER}\n"))
    assert experiment.recipe.holdout == Holdout(images=500, by="writer")
    assert holdout_line(experiment) == BY_WRITER
    others = [read_experiment(write("b.toml", f"{MNIST}{line}\n")) for line in ("", "holdout = 500", BY_WRITER)]
    assert [other.fingerprint == experiment.fingerprint for other in others] == [False, False, True]


@pytest.mark.parametrize(
    ("line", "override", "expected"),
    [
        ("holdout = 500", "recipe.holdout.by=writer", Holdout(images=500, by="writer")),
        ("holdout = 500", "recipe.holdout.images=600", Holdout(images=600)),
        ("holdout = 500", 'recipe.holdout={images=700, by="writer"}', Holdout(images=700, by="writer")),
        ("", "recipe.holdout={images=700}", Holdout(images=700)),
        (BY_WRITER, "recipe.holdout.images=600", Holdout(images=600, by="writer")),
        (BY_WRITER, "recipe.holdout.by=class", Holdout(images=500)),
        (BY_WRITER, "recipe.holdout=600", Holdout(images=600)),
    ],
)
def test_set_changes_the_number_the_way_or_both(write, line, override, expected):
    path = write("a.toml", f"{MNIST}{line}\n")
    before = read_experiment(path).recipe.holdout
    assert read_experiment(path, [override]).recipe.holdout == expected
    child = write("child.toml", 'title = "B"\nextends = "a.toml"\n')
    changed = read_experiment(child, [override])
    assert changed.recipe.holdout == expected
    assert changed.parent is not None
    assert changed.parent.recipe.holdout == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (f"{MNIST}holdout = {value}\n",
             f"a.toml:5: recipe.holdout: found {value}; expected a whole number of at least 1, or a table, as in "
             '{ images = 10_000, by = "writer" }')
            for value in ("0", "-3", "true", "1.5", '"all"', "[500]")
        ),
        (f"{MNIST}holdout = {{ images = 0 }}\n",
         "a.toml:5: recipe.holdout.images: found 0; expected greater than or equal to 1"),
        (f'{MNIST}holdout = {{ by = "writer" }}\n', "a.toml:5: recipe.holdout.images: is missing"),
        (f"{MNIST}holdout = {{ images = 5, buy = 1 }}\n",
         'a.toml:5: recipe.holdout: unknown key "buy"; expected one of images, by; did you mean "by"?'),
        (f'{MNIST}holdout = {{ images = 5, by = "wirter" }}\n',
         'a.toml:5: recipe.holdout.by: found "wirter"; expected "class" or "writer"; did you mean "writer"?'),
        (f"{PLAIN}{BY_WRITER}\n",
         'a.toml:6: recipe.holdout: by = "writer" with the dataset "glyphs"; expected "mnist", "qmnist", the datasets '
         "whose writers are known; hold out at random: holdout = 500"),
        (f'{MNIST}dataset = "minst"\n{BY_WRITER}\n',
         'a.toml:5: recipe.dataset: unknown dataset "minst"; expected one of "mnist", "fashion-mnist", "kmnist", '
         '"qmnist", "glyphs", or the path of a folder or a file, such as ./minst; did you mean "mnist"?'),
    ],
)  # fmt: skip
def test_a_wrong_split_is_refused_with_one_message(write, text, message):
    assert error_of(write("a.toml", text)) == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("recipe.holdout.by=writers", 'recipe.holdout.by: found "writers"; expected "class" or "writer"'),
        ("recipe.holdout=writer", 'recipe.holdout: found "writer"; expected a whole number of at least 1, or a table'),
        ("recipe.holdout.by.x=1", "recipe.holdout.by"),
    ],
)
def test_a_wrong_split_in_a_set_is_refused_with_the_set(write, override, message):
    assert error_of(write("a.toml", f"{MNIST}holdout = 500\n"), override).startswith(f"--set {override}: {message}")


def test_a_difference_shows_a_split_as_one_setting():
    texts = ["{ images = 10_000, by = 'writer' }", "10_000", "5_000"]
    by_writer, plain, fewer = (load_experiment("under-8k", [f"recipe.holdout={text}"]) for text in texts)
    none = load_experiment("under-8k")
    for before, after, shown in [
        (none, plain, ("—", "10,000")),
        (plain, fewer, ("10,000", "5,000")),
        (plain, by_writer, ("10,000", "10,000 by writer")),
        (by_writer, none, ("10,000 by writer", "—")),
    ]:
        assert find_difference(before, after).settings == (SettingChange("recipe.holdout", *shown),)
        assert changed_components(before, after) == ("validation split",)
    assert not find_difference(by_writer, by_writer)


COUNTS = WriterCounts(training=450, validation=89, shared_images=0)
SHARED = WriterCounts(training=539, validation=500, shared_images=9_999)


@pytest.mark.parametrize(
    ("holdout", "dataset", "images", "writers", "words"),
    [
        (Holdout(images=1), "glyphs", 1, None, "1 validation image, held out of the training set at random"),
        (Holdout(images=10_000), "mnist", 10_000, None, "10,000 validation images, held out of the training set at "
         "random; they share writers with the training images, and no test image does"),
        (Holdout(images=10_000), "mnist", 10_000, SHARED, "10,000 validation images, held out of the training set at "
         "random; 99.99 % of them share writers with the training images, and no test image does"),
        (Holdout(images=10_000, by="writer"), "mnist", 10_000, COUNTS, "10,000 validation images by 89 writers, held "
         "out of the training set; the training images are by 450 other writers"),
        (Holdout(images=10_000, by="writer"), "mnist", 10_000, None, "10,000 validation images, held out of the "
         "training set by writer; they share no writer with the training images"),
        (Holdout(images=100, by="writer"), "mnist", 116, WriterCounts(training=1, validation=1, shared_images=0),
         "116 validation images (100 asked for) by 1 writer, held out of the training set; the training images are by "
         "1 other writer"),
    ],
)  # fmt: skip
def test_a_split_is_described_with_its_writers(holdout, dataset, images, writers, words):
    assert describe_split(holdout, dataset, images, writers) == words
