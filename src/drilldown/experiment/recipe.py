"""The table `[recipe]` of an experiment file: everything about the training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from drilldown.data.catalogue import WRITERS, check_dataset_name, is_dataset_path
from drilldown.data.conventions import Conventions, Framing, Orientation, Polarity
from drilldown.data.dataset import Dataset, DatasetInfo
from drilldown.data.download import OnDownload
from drilldown.data.image_settings import ImageSettings
from drilldown.data.loading import dataset_info, load_dataset, with_local_writers, with_writers
from drilldown.data.own.teacher_files import read_targets
from drilldown.data.targets import Targets
from drilldown.data.transforms import Augmentation
from drilldown.data.travel import placed_folder
from drilldown.errors import DrilldownError, InvalidValueError, Problem, quoted
from drilldown.experiment.holdout import Holdout, add_number
from drilldown.experiment.optimizers import SGD, Optimizer
from drilldown.experiment.schedules import ConstantSchedule, Schedule
from drilldown.files import is_utf8
from drilldown.table import BelowOne, NonNegative, Table


class Recipe(Table):
    """The complete description of a training: data, optimizer, schedule, augmentation and regularisation."""

    dataset: str = "mnist"
    """The dataset: a name (mnist, fashion-mnist, kmnist, qmnist, glyphs), or the path of own files: a folder of
    pictures by class, IDX files, a `.npz`, or CSV tables."""
    image: ImageSettings | None = None
    """The size of the images of an own dataset, as in `{ size = 32, fit = "pad" }` (default: as they are)."""
    orientation: Orientation | None = None
    """The way in which the images of an own dataset lie in its files (default: upright); transposed ones, as in EMNIST,
    are turned upright when they are read."""
    polarity: Polarity | None = None
    """The brightness of object and background in the images, for the preparation of pictures (default: recognised)."""
    framing: Framing | None = None
    """The place of the object in the images, for the preparation of pictures (default: recognised): `box` for strokes
    on a plain background, `whole` for photographs."""
    teacher: str | None = None
    """The file of a teacher, as `drilldown teach` writes it (default: none): the network learns its probabilities for
    the training images in place of their labels."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 15
    """The number of passes over the training images."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    """The number of images in a batch; the last batch of an epoch can be smaller."""
    optimizer: Optimizer = SGD(name="sgd", lr=0.01, momentum=0.9)
    """The optimizer with its settings."""
    schedule: Schedule = ConstantSchedule(name="constant")
    """The learning-rate schedule with its settings."""
    augment: Augmentation = Augmentation()
    """The random changes of the training images; none by default."""
    label_smoothing: BelowOne = 0.0
    """The share ε of the target that is spread over all classes: (1 − ε)·onehot + ε/classes."""
    l1: NonNegative = 0.0
    """The factor of the L1 penalty: l1 times the sign of each weight is added to the gradient. As with weight decay,
    the recorded loss does not contain the penalty."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The decay per step of an exponential average of the weights; the averaged weights are then the model."""
    holdout: Annotated[Holdout | None, Field(json_schema_extra=add_number)] = None
    """The validation split, as a number of training images or as a table; epochs are then evaluated on it, not on the
    test images."""
    precision: Literal["fp32", "bf16", "int4"] = "fp32"
    """The precision: `fp32`; `bf16` for the arithmetic in training, while weights and evaluation use fp32; or `int4`
    for convolutions and linear layers whose weights have 4 bits. With `int4`, the first and the last layer have 8
    bits; the model that is judged, saved and exported has the rounded weights."""

    @model_validator(mode="after")
    def _floor_below_peak(self) -> Self:
        floor = getattr(self.schedule, "floor", 0.0)
        if floor > self.optimizer.lr:
            raise ValueError(f"schedule.floor = {floor} is above the peak, expected at most lr = {self.optimizer.lr}")
        return self

    @field_validator("dataset")
    @classmethod
    def _known(cls, name: str) -> str:
        if not is_utf8(name):
            problem = Problem(found="the folder's path is not UTF-8", expected="a path in UTF-8")
            raise InvalidValueError(problem)
        try:
            return name if is_dataset_path(name) else check_dataset_name(name)
        except DrilldownError as error:
            raise InvalidValueError(error.problems[0]) from None

    @field_validator("teacher")
    @classmethod
    def _readable(cls, path: str | None) -> str | None:
        if path is not None and not is_utf8(path):
            raise InvalidValueError(Problem(found="the file's path is not UTF-8", expected="a path in UTF-8"))
        return path

    @field_validator("orientation", "image")
    @classmethod
    def _own_dataset(cls, value: object, info: ValidationInfo) -> object:
        dataset = info.data.get("dataset")  # missing if it is wrong itself
        if value is not None and dataset is not None and not is_dataset_path(dataset):
            known = "is upright" if info.field_name == "orientation" else "has images of 28x28"
            problem = Problem(found=f'given with the dataset "{dataset}"', expected=f"a path; this dataset {known}")
            raise InvalidValueError(problem)
        return value

    @field_validator("holdout")
    @classmethod
    def _writers_known(cls, holdout: Holdout | None, info: ValidationInfo) -> Holdout | None:
        dataset = info.data.get("dataset")  # missing if it is wrong itself
        if holdout is not None and holdout.by == "writer" and dataset not in (None, *WRITERS):
            raise InvalidValueError(
                Problem(
                    found=f'by = "writer" with the dataset "{dataset}"',
                    expected=f"{quoted(WRITERS)}, the datasets whose writers are known",
                    suggestion=f"hold out at random: holdout = {holdout.images}",
                )
            )
        return holdout

    def load_dataset(self, folder: Path | str | None = None, *, on_download: OnDownload | None = None) -> Dataset:
        """Loads the dataset, with the writers of its training images if the validation split needs them.

        For a random split, they are only added if this machine has them.

        *Arguments*, *raises*: as of `load_dataset` and `with_writers`.

        >>> len(drilldown.load("under-8k", ["recipe.dataset=glyphs"]).recipe.load_dataset().train)
        6000
        """
        dataset = self.load_without_writers(folder, on_download=on_download)
        if self.holdout is None:
            return dataset
        if self.holdout.by == "writer":
            return with_writers(dataset, folder, on_download=on_download)
        return with_local_writers(dataset, folder)

    def load_without_writers(
        self, folder: Path | str | None = None, *, on_download: OnDownload | None = None
    ) -> Dataset:
        """Loads the dataset; *arguments*, *raises*: as of `load_dataset`."""
        return load_dataset(
            self.dataset, folder, orientation=self.orientation, image=self.image, on_download=on_download
        )

    def with_teacher(self, dataset: Dataset) -> Dataset:
        """Returns the dataset with the targets of the teacher, if the recipe has one.

        *Raises* DrilldownError where its file is missing or wrong, or belongs to another dataset.
        """
        targets = self.targets
        return dataset if targets is None else dataset.taught(targets, self.teacher)

    @property
    def targets(self) -> Targets | None:
        """The probabilities of the teacher; None without one. Raises DrilldownError where its file cannot be read."""
        return None if self.teacher is None else read_targets(placed_folder(self.teacher))

    @property
    def teacher_text(self) -> str | None:
        """The teacher in words; None without one. Raises DrilldownError where its file cannot be read."""
        return None if self.targets is None else str(self.targets.teacher)

    @property
    def dataset_info(self) -> DatasetInfo:
        """The shape of the images and the classes; raises DrilldownError where own files are wrong."""
        return dataset_info(self.dataset, self.orientation, self.image)

    def conventions_of(self, dataset: Dataset) -> Conventions:
        """Returns the conventions by which pictures are prepared as the dataset's images were.

        >>> recipe = drilldown.load("under-8k", ["recipe.dataset=glyphs", "recipe.framing=whole"]).recipe
        >>> str(recipe.conventions_of(recipe.load_dataset()))
        'light on dark, whole pictures'
        """
        from drilldown.data.recognition import conventions_of  # imports SciPy, which takes a moment

        return conventions_of(dataset, self.polarity, self.framing)

    def describe_images(self, dataset: Dataset) -> str:
        """Returns the conventions of the dataset in words, with the orientation where it was stated."""
        turned = ", transposed in the files and turned upright" if self.orientation == "transposed" else ""
        return f"{self.conventions_of(dataset)}{turned}"
