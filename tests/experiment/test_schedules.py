"""Learning-rate schedules, compared with those of PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from drilldown.experiment.schedules import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    MultiStepSchedule,
    OneCycleSchedule,
    PlateauSchedule,
    RestartsSchedule,
    Schedule,
    StepSchedule,
    learning_rates,
)

PEAK, STEPS_PER_EPOCH, EPOCHS = 0.2, 7, 10
TOTAL = STEPS_PER_EPOCH * EPOCHS

Factory = Callable[[torch.optim.Optimizer], LRScheduler]


def scheduled(create: Factory, steps: int, *, every: int = 1) -> list[float]:
    """The learning rates of a PyTorch scheduler that is advanced after every `every` optimizer steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = create(optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0 and step + 1 < steps:
            scheduler.step()
    return rates


def all_rates(schedule: Schedule, peak: float, steps_per_epoch: int, epochs: int) -> list[float]:
    """The learning rates of all steps of a training."""
    numbers = range(1, epochs + 1)
    return [rate for epoch in numbers for rate in learning_rates(schedule, peak, steps_per_epoch, epochs, epoch)]


def ours(schedule: Schedule) -> list[float]:
    return all_rates(schedule, PEAK, STEPS_PER_EPOCH, EPOCHS)


def warmed_up(length: int) -> list[float]:
    return scheduled(lambda o: LinearLR(o, start_factor=1 / length, total_iters=length - 1), length)


def test_constant_is_constant() -> None:
    assert ours(ConstantSchedule(name="constant")) == [PEAK] * TOTAL


@pytest.mark.parametrize(("every", "gamma"), [(1, 0.5), (3, 0.15), (5, 0.1), (20, 0.3)])
def test_step_agrees_with_pytorch(every: int, gamma: float) -> None:
    expected = scheduled(lambda o: StepLR(o, every, gamma), TOTAL, every=STEPS_PER_EPOCH)
    assert ours(StepSchedule(name="step", every=every, gamma=gamma)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("at", "gamma"), [([1], 0.5), ([3, 4, 9], 0.15), ([2, 20], 0.1)])
def test_multistep_agrees_with_pytorch(at: list[int], gamma: float) -> None:
    expected = scheduled(lambda o: MultiStepLR(o, at, gamma), TOTAL, every=STEPS_PER_EPOCH)
    schedule = MultiStepSchedule.model_validate({"name": "multistep", "at": at, "gamma": gamma})
    assert ours(schedule) == pytest.approx(expected, rel=1e-12)


def test_fractions_of_the_training_are_times_of_drops_too() -> None:
    schedule = MultiStepSchedule(name="multistep", at=(0.5, 0.9), gamma=0.5)
    expected = scheduled(lambda o: MultiStepLR(o, [35, 63], 0.5), TOTAL)  # of 70 steps
    assert ours(schedule) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("at", [[], [0], [3, 2], [2, 2], [1.5], [-1]])
def test_times_that_are_no_epochs_and_no_fractions_are_refused(at: list[float]) -> None:
    with pytest.raises(ValidationError):
        MultiStepSchedule.model_validate({"name": "multistep", "at": at})


@pytest.mark.parametrize("gamma", [0.9, 0.5, 1.0])
def test_exponential_agrees_with_pytorch(gamma: float) -> None:
    expected = scheduled(lambda o: ExponentialLR(o, gamma), TOTAL, every=STEPS_PER_EPOCH)
    assert ours(ExponentialSchedule(name="exponential", gamma=gamma)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("period", "multiplier", "floor"), [(1, 1, 0.0), (2, 2, 0.01), (3, 1, 0.0), (1, 3, 0.1)])
def test_restarts_agree_with_pytorch(period: int, multiplier: int, floor: float) -> None:
    steps = period * STEPS_PER_EPOCH
    expected = scheduled(lambda o: CosineAnnealingWarmRestarts(o, steps, multiplier, floor), TOTAL)
    schedule = RestartsSchedule(name="restarts", period=period, multiplier=multiplier, floor=floor)
    assert ours(schedule) == pytest.approx(expected, rel=1e-9)


def test_the_first_period_begins_after_the_warm_up() -> None:
    warm = ours(RestartsSchedule(name="restarts", period=2, warmup=0.2))
    cold = ours(RestartsSchedule(name="restarts", period=2))
    assert warm[:14] == pytest.approx(warmed_up(14), rel=1e-12)
    assert warm[14:] == cold[: TOTAL - 14]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0.1, 3) | st.sampled_from([0.5, 0.49, 0.4999]), max_size=30),
    st.integers(0, 4), st.sampled_from([0.1, 0.5]), st.sampled_from([0.0, 1e-4, 0.1]), st.sampled_from([0.0, 0.03]),
)  # fmt: skip
def test_plateau_agrees_with_pytorch(
    losses: list[float], patience: int, factor: float, threshold: float, floor: float
) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    optimizer.step()  # PyTorch warns if its scheduler comes first
    reference = ReduceLROnPlateau(optimizer, factor=factor, patience=patience, threshold=threshold, min_lr=floor, eps=0)
    schedule = PlateauSchedule(name="plateau", patience=patience, factor=factor, threshold=threshold, floor=floor)
    for epoch in range(1, len(losses) + 2):
        rates = learning_rates(schedule, PEAK, STEPS_PER_EPOCH, len(losses) + 1, epoch, losses[: epoch - 1])
        assert rates == pytest.approx([optimizer.param_groups[0]["lr"]] * STEPS_PER_EPOCH, rel=1e-12)
        if epoch <= len(losses):
            reference.step(losses[epoch - 1])


def test_plateau_has_the_defaults_of_pytorch() -> None:
    reference = ReduceLROnPlateau(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK))
    schedule = PlateauSchedule(name="plateau")
    found = (schedule.factor, schedule.patience, schedule.threshold, schedule.floor)
    assert found == (reference.factor, reference.patience, reference.threshold, reference.min_lrs[0])


@pytest.mark.parametrize("schedule", [ConstantSchedule(name="constant", warmup=0.2),
                                      MultiStepSchedule(name="multistep", at=(5,), warmup=0.2),
                                      PlateauSchedule(name="plateau", warmup=0.2),
                                      StepSchedule(name="step", every=5, gamma=0.1, warmup=0.2)])  # fmt: skip
def test_a_warm_up_agrees_with_pytorch(schedule: Schedule) -> None:
    length = 14  # a fifth of 70
    assert ours(schedule)[:length] == pytest.approx(warmed_up(length), rel=1e-12)
    assert ours(schedule)[length : 5 * STEPS_PER_EPOCH] == [PEAK] * (5 * STEPS_PER_EPOCH - length)


@pytest.mark.parametrize("floor", [0.0, 0.01])
@pytest.mark.parametrize("finish", [1.0, 0.8])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3])
def test_cosine_agrees_with_pytorchs_warm_up_and_annealing_before_its_floor(
    warmup: float, finish: float, floor: float
) -> None:
    top, bottom = round(warmup * TOTAL), round(finish * TOTAL)
    annealed = scheduled(lambda o: CosineAnnealingLR(o, bottom - top, eta_min=floor), bottom - top)
    expected = (warmed_up(top) if top else []) + annealed + [floor] * (TOTAL - bottom)
    rates = ours(CosineSchedule(name="cosine", warmup=warmup, finish=finish, floor=floor))
    assert rates == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert rates[bottom:] == [floor] * (TOTAL - bottom)


@pytest.mark.parametrize(
    ("warmup", "div", "final_div"), [(0.3, 25.0, 1e4), (0.5, 10.0, 100.0), (0.123, 4.0, 1.0), (0.9, 1.0, 1e6)]
)
def test_onecycle_agrees_with_pytorch(warmup: float, div: float, final_div: float) -> None:
    expected = scheduled(
        lambda o: OneCycleLR(
            o, PEAK, total_steps=TOTAL, pct_start=warmup, div_factor=div, final_div_factor=final_div,
            cycle_momentum=False,
        ),
        TOTAL,
    )  # fmt: skip
    rates = ours(OneCycleSchedule(name="onecycle", warmup=warmup, div=div, final_div=final_div))
    assert rates == pytest.approx(expected, rel=1e-9)


def test_onecycle_has_the_defaults_of_pytorch() -> None:
    expected = scheduled(lambda o: OneCycleLR(o, PEAK, total_steps=TOTAL, cycle_momentum=False), TOTAL)
    assert ours(OneCycleSchedule(name="onecycle")) == pytest.approx(expected, rel=1e-9)


def test_onecycle_with_an_early_finish_is_a_shorter_cycle_before_its_floor() -> None:
    # A peak after half of 70 steps and a floor after 56: a cycle of 56 steps with its peak after 35/56 of them.
    shorter = all_rates(OneCycleSchedule(name="onecycle", warmup=35 / 56), PEAK, 56, 1)
    rates = ours(OneCycleSchedule(name="onecycle", warmup=0.5, finish=0.8))
    assert rates[:56] == pytest.approx(shorter, rel=1e-9)
    assert rates[55:] == [PEAK / 25 / 1e4] * (TOTAL - 55)


FRACTION = st.floats(0, 1, exclude_max=True)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Schedule, float]:
    peak = draw(st.floats(1e-6, 1e3))
    low, high = sorted(draw(st.tuples(st.floats(1e-3, 0.999), st.floats(1e-3, 1))))
    warmup, finish = (low, high) if low < high else (low, 1.0)
    schedule: Schedule = draw(
        st.one_of(
            st.builds(ConstantSchedule, name=st.just("constant"), warmup=FRACTION),
            st.builds(
                StepSchedule,
                name=st.just("step"),
                every=st.integers(1, 10),
                gamma=st.floats(1e-3, 1),
                warmup=FRACTION,
            ),
            st.builds(
                MultiStepSchedule,
                name=st.just("multistep"),
                at=st.sets(FRACTION.filter(bool) | st.integers(1, 9), min_size=1, max_size=4).map(sorted),
                gamma=st.floats(1e-3, 1),
                warmup=FRACTION,
            ),
            st.builds(ExponentialSchedule, name=st.just("exponential"), gamma=st.floats(1e-3, 1), warmup=FRACTION),
            st.builds(PlateauSchedule, name=st.just("plateau"), floor=st.floats(0, peak), warmup=FRACTION),
            st.builds(
                RestartsSchedule,
                name=st.just("restarts"),
                period=st.integers(1, 12),
                multiplier=st.integers(1, 3),
                floor=st.floats(0, peak),
                warmup=FRACTION,
            ),
            st.builds(
                CosineSchedule,
                name=st.just("cosine"),
                warmup=st.sampled_from([0.0, warmup]),
                finish=st.just(finish),
                floor=st.floats(0, peak),
            ),
            st.builds(
                OneCycleSchedule,
                name=st.just("onecycle"),
                warmup=st.just(warmup),
                finish=st.just(finish),
                div=st.floats(1, 1e6),
                final_div=st.floats(1, 1e12),
            ),
        )
    )
    return schedule, peak


@settings(max_examples=200, deadline=None)
@given(schedules(), st.integers(1, 40), st.integers(1, 12))
def test_every_learning_rate_is_finite_and_between_zero_and_the_peak(
    scheduled: tuple[Schedule, float], steps_per_epoch: int, epochs: int
) -> None:
    schedule, peak = scheduled
    rates = all_rates(schedule, peak, steps_per_epoch, epochs)
    assert len(rates) == steps_per_epoch * epochs
    assert all(math.isfinite(rate) and 0 <= rate <= peak * (1 + 1e-12) for rate in rates)


@settings(max_examples=100, deadline=None)
@given(schedules(), st.lists(st.floats(0, 9), max_size=6))
def test_after_the_warm_up_no_learning_rate_is_below_the_floor(
    scheduled: tuple[Schedule, float], losses: list[float]
) -> None:
    schedule, peak = scheduled
    floor = getattr(schedule, "floor", 0.0)
    rates = [rate for n in range(1, 8) for rate in learning_rates(schedule, peak, 5, 7, n, losses[: n - 1])]
    assert all(rate >= floor * (1 - 1e-12) for rate in rates[round(schedule.warmup * 35) :])


@settings(max_examples=100, deadline=None)
@given(st.floats(0.02, 0.9), st.integers(10, 60), st.integers(2, 12))
def test_a_warm_up_rises_to_the_peak_in_its_steps(warmup: float, steps_per_epoch: int, epochs: int) -> None:
    length = round(warmup * steps_per_epoch * epochs)
    for schedule in (ConstantSchedule(name="constant", warmup=warmup), CosineSchedule(name="cosine", warmup=warmup)):
        rates = all_rates(schedule, PEAK, steps_per_epoch, epochs)
        rising = rates[: max(1, length)]
        assert max(rates) == rising[-1] == PEAK
        assert all(before < after for before, after in pairwise(rising))
        assert rising[0] == pytest.approx(PEAK / max(1, length))


@pytest.mark.parametrize(("kind", "name"), [(CosineSchedule, "cosine"), (OneCycleSchedule, "onecycle")])
def test_a_finish_before_the_end_of_the_warm_up_is_refused(
    kind: type[CosineSchedule | OneCycleSchedule], name: str
) -> None:
    with pytest.raises(ValidationError, match=r"finish = 0\.3 is not above warmup = 0\.3"):
        kind.model_validate({"name": name, "warmup": 0.3, "finish": 0.3})
