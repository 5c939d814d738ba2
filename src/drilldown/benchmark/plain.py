"""The plain pipelines with which drilldown's speed is compared: the usual training loops in PyTorch.

Both train the experiment's network with its optimizer and batch size, shuffle the images in each epoch, and read loss
and accuracy after every batch to show them, as the usual notebook does.

`loader`: a `DataLoader` that augments the images one by one with PIL transforms. `memory`: the normalised training set
as one tensor in memory, without augmentation, so that only PyTorch's own training step is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from drilldown.benchmark.plain_transforms import make_pil_transform, make_torchvision_transform
from drilldown.data.dataset import Dataset, Split
from drilldown.data.transforms import Augmentation
from drilldown.experiment.experiment import Experiment


class Plain:
    """A network, an optimizer and a loop, as in a notebook.

    *Arguments*: `batches`: returns an iterator over (images, labels) batches for each epoch.
    """

    def __init__(self, experiment: Experiment, batches: Callable[[], Iterable[tuple[torch.Tensor, torch.Tensor]]]):
        self.network = experiment.build_for_training()
        for module in self.network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.optimizer = experiment.recipe.optimizer.create(self.network, fused=False)
        self.batches = batches

    def train_epoch(self) -> float:
        """Trains one epoch; returns the running accuracy in percent."""
        self.network.train()
        correct = seen = 0
        for images, labels in self.batches():
            self.optimizer.zero_grad()
            logits = self.network(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            correct += int((logits.argmax(1) == labels).sum().item())
            seen += len(labels)
            loss.item()  # shown after every batch
        return 100 * correct / seen

    @torch.no_grad()
    def accuracy(self, dataset: Dataset) -> float:
        """Returns the percentage of test images that it classifies correctly."""
        self.network.eval()
        images, labels = normalise_images(dataset.test, dataset), dataset.test.labels
        logits = torch.cat([self.network(part) for part in torch.split(images, 1000)])
        return 100 * float((logits.argmax(1) == labels).double().mean())


def make_loader_pipeline(experiment: Experiment, dataset: Dataset) -> Plain:
    """Makes the pipeline that augments each image in a `DataLoader`, in the training process, which is the default."""
    images = TransformedImages(dataset, experiment.recipe.augment)
    batches = DataLoader(images, batch_size=experiment.recipe.batch_size, shuffle=True)
    return Plain(experiment, lambda: batches)


def make_memory_pipeline(experiment: Experiment, dataset: Dataset) -> Plain:
    """Makes the pipeline without augmentation that normalises the training set once and keeps it in memory."""
    images, labels = normalise_images(dataset.train, dataset), dataset.train.labels
    size = experiment.recipe.batch_size

    def batches() -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        for rows in torch.split(torch.randperm(len(labels)), size):
            yield images[rows], labels[rows]

    return Plain(experiment, batches)


def normalise_images(split: Split, dataset: Dataset) -> torch.Tensor:
    """Returns normalised images (N, C, height, width), float32: training mean 0, training standard deviation 1."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (dataset.mean, dataset.std))
    return (split.images.float() / 255 - mean) / std


class TransformedImages(TorchDataset[tuple[torch.Tensor, int]]):
    """MNIST as torchvision's dataset class gives it: a PIL image, transformed and normalised on each access."""

    def __init__(self, dataset: Dataset, augment: Augmentation) -> None:
        self.images = dataset.train.images
        self.labels = dataset.train.labels
        self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (dataset.mean, dataset.std))
        _, height, width = dataset.image_shape
        torchvision = find_spec("torchvision") is not None
        self.transform = (
            make_torchvision_transform(augment, (width, height)) if torchvision else make_pil_transform(augment)
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.transform(make_picture(self.images[index]))
        tensor = torch.from_numpy(np.array(image, dtype=np.uint8)).view(*image.size[::-1], -1).permute(2, 0, 1)
        tensor = tensor.float().div(255)
        return tensor.sub_(self.mean).div_(self.std), int(self.labels[index])


def make_picture(image: torch.Tensor) -> Image.Image:
    """Makes a PIL image from bytes (channels, height, width); Pillow derives its mode from the channels."""
    return Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy())
