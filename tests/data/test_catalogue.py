"""Names, mirrors and checksums of the published datasets."""

from __future__ import annotations

import pytest

from drilldown.data.catalogue import (
    CATALOGUE,
    QMNIST,
    STEMS,
    TEST_WRITERS,
    WRITERS,
    check_dataset_name,
    is_dataset_path,
)
from drilldown.data.loading import dataset_info, load_dataset
from drilldown.errors import DrilldownError


def test_each_dataset_has_four_files_with_a_checksum_and_at_least_two_mirrors():
    for name, files in CATALOGUE.items():
        assert tuple(files) == STEMS or name == QMNIST
        assert len({known.sha256 or known.md5 for known in files.values()}) == 4
        for stem, known in files.items():
            assert known.stem == stem
            assert (len(bytes.fromhex(known.sha256)), len(bytes.fromhex(known.md5))) in ((32, 0), (0, 16))
            assert known.packed or known.sha256  # an MD5 is only published for archives
            assert len(set(known.mirrors)) >= 2
            assert all(address.endswith("/") for address in known.mirrors)


def test_the_files_of_writers_have_a_checksum_and_two_mirrors():
    for name, known in (*WRITERS.items(), *TEST_WRITERS.items()):
        assert name in CATALOGUE
        assert len(bytes.fromhex(known.sha256)) == 32
        assert len(set(known.mirrors)) == 2
        assert all(address.endswith("/") for address in known.mirrors)


@pytest.mark.parametrize(
    ("name", "meant"), [("minst", "mnist"), ("MNIST", "mnist"), ("fashion", "fashion-mnist"), ("glyph", "glyphs")]
)
def test_an_unknown_name_is_refused_with_the_most_similar_name(name, meant):
    for function in (load_dataset, dataset_info, check_dataset_name):
        with pytest.raises(DrilldownError) as caught:
            function(name)
        assert str(caught.value).startswith(f'unknown dataset "{name}"; expected one of "mnist", ')
        assert str(caught.value).endswith(f'did you mean "{meant}"?')


def test_a_name_with_a_slash_is_a_folder():
    assert is_dataset_path("./mnist")
    assert is_dataset_path("mnist/")
    assert is_dataset_path("..")
    assert not is_dataset_path("mnist")
