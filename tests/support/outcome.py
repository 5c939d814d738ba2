"""What two runs must have in common."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

TIMES = ("train_seconds", "test_seconds")


def outcome(run: Path) -> tuple[str, str, list[dict[str, object]]]:
    """Returns everything that must be equal in two runs: weights, predictions, and records without their times."""
    weights, predictions = (
        hashlib.sha256((run / f"{name}.safetensors").read_bytes()).hexdigest() for name in ("weights", "predictions")
    )
    records = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
    return weights, predictions, [{k: v for k, v in record.items() if k not in TIMES} for record in records]
