"""The plain pipelines with which drilldown's speed is compared: the usual training loops in PyTorch.

Both train the experiment's network with its optimizer and batch size, shuffle the images in each epoch, and read loss
and accuracy after every batch to show them, as the usual notebook does.

`loader`: a `DataLoader` that augments the images one by one with PIL transforms. `memory`: the normalised training set
as one tensor in memory, without augmentation, so that only PyTorch's own training step is timed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from drilldown.data.augmentation import Augmentation
from drilldown.data.dataset import Dataset, Split
from drilldown.experiment.experiment import Experiment

Transform = Callable[[Image.Image], Image.Image]


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
        make = make_torchvision_transform if find_spec("torchvision") else make_pil_transform
        self.transform = make(augment)

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


def make_torchvision_transform(augment: Augmentation) -> Transform:
    """Makes the recipe's augmentation from torchvision's own classes."""
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    mode = InterpolationMode(augment.interpolation)
    chain = []
    if augment.rotate:
        chain.append(transforms.RandomRotation(augment.rotate, interpolation=mode))
    if augment.affine:
        a = augment.affine
        chain.append(
            transforms.RandomAffine(
                a.rotate,
                translate=(a.translate, a.translate),
                scale=a.scale,
                shear=a.shear,
                interpolation=mode,
            )
        )
    if augment.jitter:
        chain.append(transforms.ColorJitter(brightness=augment.jitter.brightness, contrast=augment.jitter.contrast))
    composed: Transform = transforms.Compose(chain)
    return composed


def make_pil_transform(augment: Augmentation) -> Transform:
    """Makes the same augmentation from the PIL calls that torchvision makes for PIL images."""
    mode = Image.Resampling.BILINEAR if augment.interpolation == "bilinear" else Image.Resampling.NEAREST

    def transform(image: Image.Image) -> Image.Image:
        if augment.rotate:
            image = image.rotate(random.uniform(-augment.rotate, augment.rotate), mode)
        if augment.affine:
            image = image.transform(image.size, Image.Transform.AFFINE, _inverse(augment, image.size), mode)
        if augment.jitter:
            for enhance, spread in (
                (ImageEnhance.Brightness, augment.jitter.brightness),
                (ImageEnhance.Contrast, augment.jitter.contrast),
            ):
                image = enhance(image).enhance(random.uniform(1 - spread, 1 + spread))
        return image

    return transform


def _inverse(augment: Augmentation, size: tuple[int, int]) -> tuple[float, ...]:
    """Returns PIL's six numbers of a random affine map from output to input pixels, about the image's centre."""
    affine = augment.affine
    assert affine is not None
    angle = math.radians(random.uniform(-affine.rotate, affine.rotate))
    skew = math.tan(math.radians(random.uniform(-affine.shear, affine.shear)))
    scale = random.uniform(*affine.scale)
    dx, dy = (random.uniform(-affine.translate, affine.translate) * side for side in size)
    cos, sin, cx, cy = math.cos(angle), math.sin(angle), size[0] / 2, size[1] / 2
    # (rotation · shear · scale)⁻¹, written out.
    a, b = (cos - skew * sin) / scale, (sin + skew * cos) / scale
    d, e = -sin / scale, cos / scale
    x, y = cx + dx, cy + dy
    return a, b, cx - a * x - b * y, d, e, cy - d * x - e * y
