"""The training loop: from an experiment and a dataset to one record per epoch. Nothing here prints or writes."""

from __future__ import annotations

import contextlib
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata

import torch

from drilldown.data.augmentation import draw_augmentation
from drilldown.data.dataset import Dataset
from drilldown.data.teacher import Teacher
from drilldown.data.writers import count_writers
from drilldown.engines.engine import EpochPlan, OnProgress
from drilldown.errors import CannotTrainError, DrilldownError, Problem, TrainingDivergedError, check_argument
from drilldown.evaluation.predictions import Evaluation
from drilldown.evaluation.records import EpochRecord, Tally
from drilldown.experiment.experiment import Experiment
from drilldown.experiment.holdout import describe_split
from drilldown.experiment.schedules import learning_rates
from drilldown.network.layers import BatchNorm
from drilldown.network.layout import call_network
from drilldown.network.module_loader import user_code_problem
from drilldown.randomness import check_seed, global_stream, stream, stream_seed
from drilldown.settings import Compute, DeviceName, EngineName
from drilldown.shown import Shown
from drilldown.training.choice import OnNotice, choose_device, choose_engine
from drilldown.wording import count_text


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a training needs to continue after an epoch."""

    tensors: dict[str, torch.Tensor]
    epochs: tuple[EpochRecord, ...]
    engine: EngineName
    threads: int
    """PyTorch's result depends on the number of threads; the native engine's does not."""
    device: DeviceName
    versions: dict[str, str]
    """The versions that trained so far, see `Training.versions`."""


class Training(Shown):
    """One training of one experiment with one seed; iterating over it yields the record of each epoch.

    *Arguments*: `checkpoint`: where to continue. `on_progress`: called about fifty times per epoch. `on_notice`: told
    about slow steps, and which engine trains and why.

    *Raises* DrilldownError where experiment and data do not fit together; TrainingDivergedError, while iterating,
    where the loss stops being a finite number.

    >>> experiment = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.epochs=1"])
    >>> [epoch.train.total for epoch in Training(experiment)]
    [6000]
    """

    _completed = ("dataset", "engine", "epochs", "experiment", "final", "seed", "test", "threads", "versions")

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset | None = None,
        *,
        seed: int = 0,
        compute: Compute = Compute(),  # noqa: B008 - frozen
        checkpoint: Checkpoint | None = None,
        on_progress: OnProgress | None = None,
        on_notice: OnNotice = lambda _: None,
    ) -> None:
        check_argument("experiment", experiment, Experiment, 'an experiment, as in drilldown.load("under-8k")')
        check_argument("compute", compute, Compute, 'drilldown.Compute(device="cpu"), for instance')
        seed = check_seed(seed)
        recipe = experiment.recipe
        dataset = recipe.with_teacher(recipe.load_dataset() if dataset is None else dataset)
        self.held_out = recipe.holdout is not None
        self.test = dataset.test
        if recipe.holdout is not None:
            dataset, self.judged = dataset.hold_out(recipe.holdout.images, seed, recipe.holdout.by)
        else:
            self.judged = dataset.test
        _check_fit(experiment, dataset)
        self.experiment, self.dataset, self.seed, self.on_progress = experiment, dataset, seed, on_progress
        engine, device, threads = compute.engine, compute.device, compute.threads
        if checkpoint:  # another engine or device, or other threads with PyTorch, would give other last bits
            engine = checkpoint.engine if engine == "auto" else engine
            device = checkpoint.device if device == "auto" else device
            threads = threads or checkpoint.threads
        with _explain_errors(experiment):
            self.engine = choose_engine(
                experiment, dataset, seed,
                name=engine, device=choose_device(device), threads=threads, on_notice=on_notice,
            )  # fmt: skip
        for notice in experiment.model_summary.notices:
            on_notice(notice)
        self.versions = {
            "drilldown": metadata.version("drilldown"),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "engine": f"{self.engine.name} {self.engine.build}",
        }
        """Everything beside experiment, data and threads that the bits of the result depend on."""
        self.epochs: tuple[EpochRecord, ...] = ()
        if checkpoint:
            _warn_of_versions(checkpoint.versions, self.versions, on_notice)
            self.engine.restore(checkpoint.tensors)
            self.epochs = checkpoint.epochs
        self.steps_per_epoch = math.ceil(len(dataset.train) / recipe.batch_size)

    def __iter__(self) -> Iterator[EpochRecord]:
        """Trains the remaining epochs."""
        for number in range(len(self.epochs) + 1, self.experiment.recipe.epochs + 1):
            plan = self.plan(number)
            with _explain_errors(self.experiment):
                started = time.perf_counter()
                train = self.engine.train_epoch(plan, self.on_progress)
                trained = time.perf_counter()
                test = self.engine.evaluate(self.judged).tally
                raw = self.engine.evaluate(self.judged, raw=True).tally if self.experiment.recipe.ema else None
                evaluated = time.perf_counter()
            if not math.isfinite(test.loss):
                raise TrainingDivergedError(
                    f"the weights give a loss of {test.loss} after epoch {number}; "
                    f"a smaller recipe.optimizer.lr or a warm-up may help"
                )
            record = EpochRecord(
                epoch=number,
                lr=plan.learning_rates[-1],
                train=train,
                test=test,
                held_out=self.held_out,
                raw_test_correct=raw.correct if raw else None,
                train_seconds=round(trained - started, 3),
                test_seconds=round(evaluated - trained, 3),
            )
            self.epochs += (record,)
            yield record

    @property
    def threads(self) -> int:
        """The number of CPU threads that train."""
        return self.engine.threads

    @property
    def split_text(self) -> str:
        """The images that epochs are judged on, in words."""
        holdout, train, judged = self.experiment.recipe.holdout, self.dataset.train.writers, self.judged.writers
        if holdout is None:
            return count_text(len(self.judged), "test image")
        counts = count_writers(train, judged) if train and judged else None
        return describe_split(holdout, self.experiment.recipe.dataset, len(self.judged), counts)

    @property
    def teacher(self) -> Teacher | None:
        """The teacher whose probabilities are learned in place of the labels, or None."""
        targets = self.dataset.train.targets
        return targets.teacher if targets else None

    @property
    def teacher_seen(self) -> int | None:
        """The number of validation images that the teacher was trained on; None without both."""
        targets = self.judged.targets
        return int(targets.seen.sum()) if targets else None

    def __repr__(self) -> str:
        finished = f"{len(self.epochs)} of {self.experiment.recipe.epochs} epochs"
        return f"<Training of {self.experiment.name}, seed {self.seed}: {finished}>"

    def checkpoint(self) -> Checkpoint:
        """Everything that is needed to continue from here."""
        return Checkpoint(
            self.engine.state(),
            self.epochs,
            self.engine.name,
            self.threads,
            "cuda" if self.engine.device.type == "cuda" else "cpu",
            self.versions,
        )

    def train(self, plan: EpochPlan) -> Tally:
        """Trains an epoch, or some of its steps; raises TrainingDivergedError where the loss is not finite."""
        with _explain_errors(self.experiment):
            return self.engine.train_epoch(plan)

    def final(self) -> tuple[Evaluation, Evaluation]:
        """Evaluates the model on the test images, and on the training images without augmentation."""
        with _explain_errors(self.experiment):
            return self.engine.evaluate(self.test), self.engine.evaluate(self.dataset.train)

    def plan(self, number: int) -> EpochPlan:
        """The plan of an epoch (from 1), with all its random draws.

        With the schedule `plateau`, its learning rates depend on the records of the epochs before it.
        """
        count = len(self.dataset.train)
        _, height, width = self.dataset.image_shape
        recipe = self.experiment.recipe
        return EpochPlan(
            epoch=number,
            order=torch.randperm(count, generator=stream(self.seed, "order", number)),
            draws=draw_augmentation(
                recipe.augment, count, stream(self.seed, "augment", number), height, width, done=number / recipe.epochs
            ),
            learning_rates=learning_rates(
                recipe.schedule,
                recipe.optimizer.lr,
                self.steps_per_epoch,
                recipe.epochs,
                number,
                losses=[record.train.loss for record in self.epochs[: number - 1]],
            ),
            dropout_seed=stream_seed(self.seed, "dropout", number),
        )


def _warn_of_versions(before: dict[str, str], now: dict[str, str], on_notice: OnNotice) -> None:
    """Says which versions differ from those that trained so far."""
    labels = {"torch": "PyTorch", "engine": "the engine's build"}
    changed = [
        f"{label} was {before.get(name, 'unknown')} and is {now[name]}"
        for name, label in labels.items()
        if before.get(name) != now[name]
    ]
    if changed:
        on_notice(f"{', '.join(changed)}: the result may differ in its last bits from an uninterrupted run")


def _check_fit(experiment: Experiment, dataset: Dataset) -> None:
    """Refuses at the start what could only fail in the middle of an epoch."""
    recipe, count = experiment.recipe, len(dataset.train)
    if recipe.batch_size > count:
        raise CannotTrainError(
            Problem(
                place="recipe.batch_size",
                found=f"batches of {recipe.batch_size:,}",
                expected=f"at most {count:,}, the number of training images",
            )
        )
    _, height, width = dataset.image_shape
    if recipe.precision == "int4" and experiment.layout is None:
        raise CannotTrainError(
            Problem(
                place="recipe.precision",
                found=f'"int4" with the network {experiment.network.python}',
                expected="a network in block notation, whose first and last layer are known",
            )
        )
    too_long = list(recipe.augment.check_pixels(height, width))
    if too_long:
        raise CannotTrainError(*too_long)
    smallest = count % recipe.batch_size or recipe.batch_size
    if experiment.layout is None and smallest < recipe.batch_size:
        _check_last_batch(experiment, smallest, count)
    if experiment.layout is None or smallest > 1:
        return
    for placed in experiment.layout:
        if isinstance(placed.layer, BatchNorm) and math.prod(placed.input[1:]) == 1:
            raise CannotTrainError(
                Problem(
                    place="recipe.batch_size",
                    found=f"a batch of 1 image, of which {placed.name} sees one value per channel",
                    expected=f"a size that does not leave a single image over ({count:,} images)",
                )
            )


def _check_last_batch(experiment: Experiment, size: int, count: int) -> None:
    """Refuses a user's module that trains on whole batches, and not on the smaller one at the end of an epoch."""
    error = _training_error(experiment, size)
    if error is None or (size != 1 and _training_error(experiment, experiment.recipe.batch_size)):
        return  # what fails on every batch is reported by the first step
    assert experiment.network.python is not None
    event = f"fails on the last batch of an epoch, which has {count_text(size, 'image')}"
    raise CannotTrainError(
        replace(
            user_code_problem(experiment.network.python, experiment.folder, event, error),
            suggestion=f"choose another recipe.batch_size for the {count:,} training images",
        )
    ) from error


def _training_error(experiment: Experiment, size: int) -> Exception | SystemExit | None:
    """The exception of a user's module in training mode for noise, or None."""
    network = experiment.build().train()
    try:
        with torch.no_grad(), global_stream(0, "trial"):
            call_network(network, torch.randn(size, *experiment.image[0]))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's code can raise anything
        return error
    return None


@contextlib.contextmanager
def _explain_errors(experiment: Experiment) -> Iterator[None]:
    """Turns PyTorch's exceptions that the user can act on into one message."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise CannotTrainError(f"the GPU has too little memory; try a smaller recipe.batch_size ({error})") from error
    except (Exception, SystemExit) as error:
        if isinstance(error, DrilldownError):
            raise
        if "DefaultCPUAllocator" in str(error):
            raise CannotTrainError(
                "there is too little memory for this network; try a smaller recipe.batch_size or fewer channels"
            ) from error
        if experiment.network.python is not None:
            problem = user_code_problem(experiment.network.python, experiment.folder, "fails while training", error)
            # PyTorch raises these in the backward pass and in the loss, where no line of the module takes part.
            if problem.line is not None or isinstance(error, RuntimeError | ValueError | TypeError):
                raise CannotTrainError(problem) from error
        raise
