"""Teachers for tests: random probabilities, and their files as people write them with NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def random_shares(images: int, classes: int = 10, seed: int = 0) -> np.ndarray:
    """Probabilities (images, classes), float32."""
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), images).astype(np.float32)


def write_teacher(file: Path, **arrays: Any) -> str:
    """Writes a file of a teacher without the package's own code; returns its path."""
    np.savez(file, **arrays)
    return str(file)
