"""The parameter limit: the widest network of a shape, against brute force and PyTorch's own count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilldown.experiment.experiment import Experiment
from drilldown.search.fit import Fitted, fit
from drilldown.search.reading import read_search
from drilldown.search.space import Space
from support.datasets import write_two_images
from support.searches import search_text

Write = Callable[[str, str], Path]
Ranges = list[tuple[int, int, int]]
STUDIES = ["under-8k", "eva-drilldown", "eva5-s5", "era-s7", "session6", "s5", "eva5-s5/01"]


@pytest.fixture(scope="module", params=STUDIES)
def shipped(request: pytest.FixtureRequest) -> Space:
    return read_search(request.param).space


def torch_count(experiment: Experiment) -> int:
    """The number of parameters that PyTorch allocates."""
    return sum(parameter.numel() for parameter in experiment.build().parameters())


def raised(space: Space, fitted: Fitted, name: str) -> dict[str, Any] | None:
    """The values with one width one step wider; None where the range ends."""
    dimension = space.dimensions[name]
    wider = fitted.values[name] + dimension.step  # type: ignore[union-attr, operator]
    return {**fitted.values, name: wider} if wider <= dimension.high else None  # type: ignore[union-attr]


def test_any_shape_keeps_the_limit_and_no_width_can_be_raised(shipped: Space) -> None:
    rng = Random(0)
    for _ in range(25):
        values, limit = shipped.sample(rng), rng.randint(1_500, 20_000)
        fitted = fit(shipped, values, limit)
        if fitted is None:
            lowest = {name: shipped.dimensions[name].low for name in shipped.widths_of(values)}  # type: ignore[union-attr]
            assert torch_count(shipped.experiment({**values, **lowest})) > limit
            continue
        assert torch_count(shipped.experiment(fitted.values)) == fitted.parameters <= limit
        widths = set(shipped.widths_of(values))
        assert {name for name in values if fitted.values[name] != values[name]} <= widths
        for name in widths:
            wider = raised(shipped, fitted, name)
            assert wider is None or torch_count(shipped.experiment(wider)) > limit
        assert fit(shipped, values, limit) == fitted


def test_a_candidate_is_fitted_quickly(shipped: Space) -> None:
    rng, seconds = Random(0), []
    for _ in range(20):
        values = shipped.sample(rng)
        started = time.perf_counter()
        fit(shipped, values, 8_000)
        seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) < 0.05  # 2 to 7 ms where the machine does nothing else


def two_layers(a: int, b: int) -> int:
    """The parameters of `conv 3x3 a, conv 3x3 b, gap, linear 10`."""
    return 9 * a + 9 * a * b + 10 * (b + 1)


def by_brute_force(ranges: Ranges, shape: tuple[int, int], limit: int) -> tuple[int, int] | None:
    """The fitted widths by the words of the documentation, with exact fractions and all factors."""

    def at(factor: Fraction) -> tuple[int, int]:
        rounded = []
        for (low, high, step), own in zip(ranges, shape, strict=True):
            steps = ((factor * own - low) / step + Fraction(1, 2)).__floor__()
            rounded.append(min(max(low + step * steps, low), high))
        return rounded[0], rounded[1]

    # Between these factors, nothing changes.
    factors = {Fraction(0)} | {
        (low + step * (steps + Fraction(1, 2))) / own
        for (low, high, step), own in zip(ranges, shape, strict=True)
        for steps in range((high - low) // step)
    }
    fitting = [factor for factor in factors if two_layers(*at(factor)) <= limit]
    if not fitting:
        return None
    widths = list(at(max(fitting)))
    while True:
        for index in sorted((0, 1), key=lambda i: (Fraction(widths[i], shape[i]), -i)):
            wider = list(widths)
            wider[index] += ranges[index][2]
            if wider[index] <= ranges[index][1] and two_layers(*wider) <= limit:
                widths = wider
                break
        else:
            return widths[0], widths[1]


RANGE = st.tuples(st.integers(1, 12), st.integers(0, 12), st.integers(1, 5)).map(
    lambda drawn: (drawn[0], drawn[0] + drawn[1] * drawn[2], drawn[2])
)


@settings(max_examples=150, deadline=None)
@given(st.tuples(RANGE, RANGE), st.integers(0, 2**32), st.integers(1, 8_000))
def test_tiny_spaces_agree_with_brute_force(
    scratch: Path, ranges: tuple[tuple[int, int, int], tuple[int, int, int]], seed: int, limit: int
) -> None:
    dimensions = [f"w{n} = {{ int = [{low}, {high}], step = {step} }}" for n, (low, high, step) in enumerate(ranges)]
    layers = 'layers = ["conv 3x3 {w0}, conv 3x3 {w1}", "gap, linear 10"]'
    (scratch / "a.toml").write_text(search_text("\n".join(dimensions), layers))
    space = read_search(scratch / "a.toml").space
    values = space.sample(Random(seed))
    expected = by_brute_force(list(ranges), (values["w0"], values["w1"]), limit)  # type: ignore[arg-type]
    fitted = fit(space, values, limit)
    assert (None if fitted is None else tuple(fitted.values.values())) == expected
    if fitted is not None and expected is not None:
        assert fitted.parameters == two_layers(*expected)


def test_widths_that_make_no_network_are_skipped(write: Write) -> None:
    dimensions = "a = { int = [4, 40], start = 8 }\nb = { int = [4, 40], start = 8 }"
    layers = 'layers = ["conv 3x3 {a}", "conv 3x3 {b} groups=4", "gap, linear 10"]'
    space = read_search(write("a.toml", search_text(dimensions, layers))).space
    for a, b in ((8, 8), (5, 9), (4, 40)):
        fitted = fit(space, {"a": a, "b": b}, 2_000)
        assert fitted is not None
        assert torch_count(space.experiment(fitted.values)) == fitted.parameters <= 2_000
        assert fitted.parameters > 1_000


def test_depthwise_convolutions_follow_their_width(write: Write) -> None:
    layers = 'layers = ["conv 3x3 {a}", "conv 3x3 {a} groups={a}, conv 1x1 {b}, bn, relu", "gap, linear 10"]'
    text = search_text("a = { int = [2, 64] }\nb = { int = [2, 64] }", layers)
    space = read_search(write("a.toml", text)).space
    fitted = fit(space, {"a": 8, "b": 16}, 3_000)
    assert fitted is not None
    a, b = fitted.values["a"], fitted.values["b"]
    assert fitted.parameters == 9 * a + 9 * a + a * b + 2 * b + 10 * (b + 1)  # type: ignore[operator]
    assert torch_count(space.experiment(fitted.values)) == fitted.parameters


def test_a_width_that_the_candidate_does_not_use_keeps_its_value(write: Write) -> None:
    space = read_search(write("a.toml", search_text())).space
    values: dict[str, Any] = {**space.centre, "depth": "", "w3": 7}
    fitted = fit(space, values, 1_000)
    assert fitted is not None
    assert fitted.values["w3"] == 7


def test_without_widths_a_candidate_keeps_the_limit_or_is_refused(write: Write) -> None:
    text = search_text(
        'head = { one_of = ["gap, linear 10", "flatten, linear 10"] }', 'layers = ["conv 3x3 4", "{head}"]'
    )
    space = read_search(write("a.toml", text)).space
    assert fit(space, {"head": "gap, linear 10"}, 86) == Fitted({"head": "gap, linear 10"}, 36 + 50)
    assert fit(space, {"head": "gap, linear 10"}, 85) is None
    assert fit(space, {"head": "flatten, linear 10"}, 8_000) is None


def test_the_images_of_a_candidate_decide_its_parameters(write: Write, tmp_path: Path) -> None:
    write_two_images(tmp_path / "small", side=6)
    write_two_images(tmp_path / "large", side=9)
    text = search_text(
        '"recipe.dataset" = { one_of = ["./small", "./large"] }\nw = { int = [1, 9] }',
        'layers = ["conv 3x3 {w}", "flatten, linear 2"]',
    )
    space = read_search(write("a.toml", text)).space
    for folder, side in (("./small", 6), ("./large", 9)):
        fitted = fit(space, {"recipe.dataset": folder, "w": 3}, 300)
        assert fitted is not None
        wide = fitted.values["w"]
        assert fitted.parameters == 9 * wide + 2 * (wide * (side - 2) ** 2 + 1)  # type: ignore[operator]
        assert fitted.parameters == torch_count(space.experiment(fitted.values))


def test_a_network_in_python_keeps_the_limit_or_is_refused(write: Write) -> None:
    module = "from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    write("model.py", module)
    text = search_text('"recipe.batch_size" = { one_of = [32, 64] }', 'python = "model.py:net"')
    space = read_search(write("a.toml", text)).space
    assert fit(space, {"recipe.batch_size": 64}, 7_850) == Fitted({"recipe.batch_size": 64}, 7_850)
    assert fit(space, {"recipe.batch_size": 64}, 7_849) is None


def test_a_candidate_without_a_network_is_refused(write: Write) -> None:
    text = search_text(
        'w = { int = [4, 300] }\nk = { one_of = [3, 15] }\nm = { one_of = [3, 15] }',
        'layers = ["conv {k}x{k} {w}", "conv {m}x{m} {w}", "gap, linear 10"]',
    )  # fmt: skip
    space = read_search(write("a.toml", text)).space
    started = time.perf_counter()
    assert fit(space, {"w": 8, "k": 15, "m": 15}, 8_000) is None
    assert time.perf_counter() - started < 1


def test_very_wide_ranges_are_fitted_quickly(write: Write) -> None:
    names = [f"w{n}" for n in range(6)]
    dimensions = "\n".join(f"{name} = {{ int = [1, 2_000], start = 16 }}" for name in names)
    blocks = ", ".join(f'"conv 3x3 {{{name}}}"' for name in names)
    text = search_text(dimensions, f'layers = [{blocks}, "gap, linear 10"]')
    space = read_search(write("a.toml", text)).space
    started = time.perf_counter()
    fitted = fit(space, dict.fromkeys(names, 1_000), 8_000)
    assert time.perf_counter() - started < 1
    assert fitted is not None
    assert 7_000 < fitted.parameters <= 8_000
    assert max(fitted.values.values()) - min(fitted.values.values()) <= 2  # type: ignore[type-var, operator]
