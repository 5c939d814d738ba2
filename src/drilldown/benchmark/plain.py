"""The plain pipelines that drilldown's speed is compared with: the usual training loops in PyTorch.

Both train the same network with the same optimizer, batch size and augmentation as the experiment says, shuffle
again each epoch, and read loss and accuracy after every batch to show them, as the usual notebook does.

`loader`: images one by one through PIL transforms and a `DataLoader`. `memory`: the normalised training set as
one tensor in memory, without augmentation, so that nothing but PyTorch's own training step is left.
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
        self.network = experiment.build()
        for module in self.network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.optimizer = experiment.recipe.optimizer.create(self.network, fused=False)
        self.batches = batches

    def train_epoch(self) -> float:
        """One epoch; returns the running accuracy in percent."""
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
        """Percent of all test images."""
        self.network.eval()
        images, labels = normalised(dataset.test, dataset), dataset.test.labels
        logits = torch.cat([self.network(part) for part in torch.split(images, 1000)])
        return 100 * float((logits.argmax(1) == labels).double().mean())


def loader(experiment: Experiment, dataset: Dataset) -> Plain:
    """Per-image transforms over a `DataLoader`, in the process that trains, which is its default."""
    images = TransformedImages(dataset, experiment.recipe.augment)
    batches = DataLoader(images, batch_size=experiment.recipe.batch_size, shuffle=True)
    return Plain(experiment, lambda: batches)


def memory(experiment: Experiment, dataset: Dataset) -> Plain:
    """The training set normalised once and held in memory; no augmentation."""
    images, labels, size = (
        normalised(dataset.train, dataset),
        dataset.train.labels,
        experiment.recipe.batch_size,
    )

    def batches() -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        for rows in torch.split(torch.randperm(len(labels)), size):
            yield images[rows], labels[rows]

    return Plain(experiment, batches)


def normalised(split: Split, dataset: Dataset) -> torch.Tensor:
    """(N, 1, height, width), float32, with the mean and standard deviation of the training images taken out."""
    return (split.images[:, None].float() / 255 - dataset.mean) / dataset.std


class TransformedImages(TorchDataset[tuple[torch.Tensor, int]]):
    """MNIST as torchvision's dataset class gives it: a PIL image, transformed and normalised on each access."""

    def __init__(self, dataset: Dataset, augment: Augmentation) -> None:
        self.images = dataset.train.images
        self.labels = dataset.train.labels
        self.mean, self.std = dataset.mean, dataset.std
        self.transform = torchvision_transform(augment) if find_spec("torchvision") else pil_transform(augment)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.transform(Image.fromarray(self.images[index].numpy(), mode="L"))
        tensor = torch.from_numpy(np.array(image, dtype=np.uint8)).unsqueeze(0).float().div(255)
        return tensor.sub_(self.mean).div_(self.std), int(self.labels[index])


def torchvision_transform(augment: Augmentation) -> Transform:
    """The recipe's augmentation with torchvision's own classes."""
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


def pil_transform(augment: Augmentation) -> Transform:
    """The same with the PIL calls that torchvision makes for PIL images."""
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
    """PIL's six numbers of a random affine map: output pixel → input pixel, about the image's centre."""
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
