"""Golden records: what three tiny experiments give on one processor, to the last bit.

A change that is not meant to alter numbers leaves them as they are. `python tests/support/golden.py` adds the records
of the processor that it runs on. Give `--replace` only with a change that is meant to alter numbers, and say in its
commit message why they changed.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import drilldown
from drilldown.settings import EngineName

RECORDS = Path(__file__).parents[1] / "engines" / "golden"
ENGINES: tuple[EngineName, ...] = ("native", "torch")
THREADS = 1
"""PyTorch's sums depend on the number of threads."""
EXPERIMENTS = {
    "dropout-augmentation": """
title = "Dropout and augmentation"
[network]
layers = ["conv 3x3 6, bn, relu, dropout 0.1", "maxpool 2", "conv 3x3 8, bn, relu, dropout 0.1", "gap", "linear 10"]
[recipe]
dataset = "glyphs"
epochs = 3
batch_size = 128
optimizer = { name = "sgd", lr = 0.05, momentum = 0.9 }
schedule = { name = "step", every = 2, gamma = 0.5 }
[recipe.augment]
rotate = 7
affine = { translate = 0.1, scale = [0.9, 1.1] }
jitter = { brightness = 0.2, contrast = 0.2 }
""",
    "averaging-holdout": """
title = "Weight averaging and a validation split"
[network]
layers = ["conv 3x3 4, bn, relu", "maxpool 2", "conv 3x3 8, bn, relu", "conv 1x1 10", "gap"]
[recipe]
dataset = "glyphs"
epochs = 3
batch_size = 100
optimizer = { name = "sgd", lr = 0.2, momentum = 0.8, nesterov = true }
schedule = { name = "cosine", warmup = 0.2, finish = 0.8 }
label_smoothing = 0.1
ema = 0.95
holdout = 600
""",
    "strides-groups": """
title = "Strides, padding, groups, biases and decay"
[network]
layers = ["conv 5x5 8 stride=2 pad=2 bias, relu", "conv 3x3 8 groups=4, bn, relu", "avgpool 2", "flatten", "linear 10"]
[recipe]
dataset = "glyphs"
epochs = 3
batch_size = 64
optimizer = { name = "sgd", lr = 0.1, momentum = 0.9, weight_decay = 0.0005 }
schedule = { name = "onecycle" }
augment = { rotate = 5, interpolation = "nearest" }
""",
}


def train(name: str, engine: EngineName) -> dict[str, Any]:
    """Trains one of EXPERIMENTS and returns its record: losses and counts by epoch, and the SHA-256 of the weights."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.toml"
        file.write_text(EXPERIMENTS[name], encoding="utf-8")
        compute = drilldown.Compute(engine=engine, device="cpu", threads=THREADS)
        training = drilldown.Training(drilldown.load(file), compute=compute)
        epochs = [
            {
                "train_loss": epoch.train.loss,
                "train_correct": epoch.train.correct,
                "test_loss": epoch.test.loss,
                "test_correct": epoch.test.correct,
            }
            for epoch in training
        ]
        state = training.checkpoint().tensors
    weights = hashlib.sha256()
    for key in sorted(state):
        if key.startswith(("network.", "average.")):
            weights.update(key.encode() + state[key].contiguous().numpy().tobytes())
    return {"epochs": epochs, "weights_sha256": weights.hexdigest()}


def data_digest() -> str:
    """SHA-256 of the glyphs, so that other pictures (another FreeType) are not taken for other arithmetic."""
    dataset = drilldown.dataset("glyphs")
    digest = hashlib.sha256()
    for tensor in (dataset.train.images, dataset.train.labels, dataset.test.images, dataset.test.labels):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def key(engine: str) -> str:
    """Which record this machine must reproduce: engine, vector width, processor, and what does the arithmetic."""
    width = torch.backends.cpu.get_cpu_capability().lower()
    version = f"torch-{torch.__version__.partition('+')[0]}" if engine == "torch" else _compiler()
    return f"{engine}-{width}-{_processor()}-{version}"


def record_file(engine: str) -> Path:
    """Where this machine's record of an engine lies, whether it is there or not."""
    return RECORDS / f"{key(engine)}.json"


def records(engine: str) -> dict[str, dict[str, Any]]:
    """All records of an engine by key, of whatever processor."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(RECORDS.glob(f"{engine}-*.json"))}


def _processor() -> str:
    """Vendor, family and model: tuning for a processor decides which products and sums become one instruction."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return re.sub(r"\W+", "_", platform.processor() or platform.machine())
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = [fields.get(name) for name in ("vendor_id", "cpu family", "model")]
    return "_".join(part for part in parts if part) or platform.machine()


def _compiler() -> str:
    version = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False).stdout
    kind = "clang" if "clang" in version else "gcc"
    found = re.search(r"(\d+)\.\d+\.\d+", version)
    return f"{kind}-{found.group(1) if found else 'unknown'}"


def main(replace: bool) -> None:
    """Writes this machine's records; those that are there stay unless `replace`."""
    RECORDS.mkdir(exist_ok=True)
    for engine in ENGINES:
        file = record_file(engine)
        if file.exists() and not replace:
            print(f"{file.name} exists; give --replace to overwrite it")
            continue
        record = {"data_sha256": data_digest(), "experiments": {name: train(name, engine) for name in EXPERIMENTS}}
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {file.name}")


if __name__ == "__main__":
    main("--replace" in sys.argv[1:])
