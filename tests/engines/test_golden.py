"""Numbers do not change by accident: three tiny trainings an engine, held against what they gave before."""

from __future__ import annotations

import functools
import shutil

import pytest

from support import golden

NEAR = 0.01
"""Relative difference of an epoch's mean loss between processors; rounding gives up to 0.002."""

pytestmark = pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler")
CASES = [(name, engine) for engine in golden.ENGINES for name in golden.EXPERIMENTS]

train = functools.cache(golden.train)


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_losses_and_weights_are_identical_to_this_processors_record(name, engine):
    file = golden.record_file(engine)
    if not file.exists():
        pytest.skip(
            f"no golden record for this processor ({file.stem}), so bits cannot be compared here; "
            f"python tests/support/golden.py on an unchanged checkout adds it"
        )
    record = golden.records(engine)[file.stem]
    assert record["data_sha256"] == golden.data_digest(), "the glyphs differ: another font or FreeType, not arithmetic"
    assert train(name, engine) == record["experiments"][name]


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_the_first_epoch_is_near_that_of_every_processor_with_a_record(name, engine):
    # Later epochs drift apart: training multiplies differences of rounding.
    found = train(name, engine)["epochs"][0]["train_loss"]
    for processor, record in golden.records(engine).items():
        assert found == pytest.approx(record["experiments"][name]["epochs"][0]["train_loss"], rel=NEAR), processor
