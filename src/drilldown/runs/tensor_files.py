"""Tensor files that say whose they are: safetensors with the owner and a checksum in their metadata."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pydantic
import safetensors
import safetensors.torch
import torch

from drilldown.errors import DrilldownError, Problem
from drilldown.experiment.experiment import Experiment
from drilldown.files import damaged_file
from drilldown.runs.folder import OWNER_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The training that wrote a tensor file, and when."""

    fingerprint: str
    """Of the experiment."""
    seed: int
    epoch: int
    """The number of finished epochs."""
    versions: dict[str, str] = field(compare=False)
    """Of drilldown, torch and python, and of the engine's build."""

    def __str__(self) -> str:
        return f"experiment {self.fingerprint}, seed {self.seed}, epoch {self.epoch}"


def tensor_bytes(tensors: Mapping[str, torch.Tensor], owner: Owner, **more: Any) -> bytes:
    """The content of a tensor file.

    All metadata are one JSON text under one key, because safetensors writes several keys in a random order, and two
    equal trainings must give equal files.

    *Arguments*: `more`: further metadata, as JSON values.
    """
    # Copies, because layers can share a tensor, and safetensors refuses to write shared memory.
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    document = {**asdict(owner), **more}
    document["sha256"] = _checksum(plain, document)
    return safetensors.torch.save(plain, {OWNER_KEY: json.dumps(document, sort_keys=True)})


def read_tensors(file: Path, content: bytes, expected: Owner | None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads a tensor file and verifies its checksum and its owner.

    *Arguments*: `content`: the bytes of the file. `expected`: the run that it must belong to; None for a run of
    version 0.1, whose files have neither owner nor checksum.

    *Returns* the tensors by name, and the metadata.

    *Raises* DrilldownError where the file is damaged or belongs to another run.
    """
    try:
        tensors: dict[str, torch.Tensor] = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise damaged_file(file, str(error)) from None
    document = _metadata(content)
    if not document:
        if expected is None:
            return tensors, {}
        raise damaged_file(file, "it does not say which run it belongs to")
    checksum = document.pop("sha256", None)
    if checksum != _checksum(tensors, document):
        raise damaged_file(file, "the checksum of its tensors is wrong")
    try:
        owner = _OWNER.validate_python({name: document.get(name) for name in _OWNER_FIELDS})
    except pydantic.ValidationError:
        raise damaged_file(file, "it does not say which run it belongs to") from None
    if expected is not None and owner != expected:
        raise DrilldownError(
            Problem(
                file=file,
                found=f"the file belongs to another run ({owner})",
                expected=str(expected),
                suggestion="did the experiment or its data change? retrain with drilldown run … --again",
            )
        )
    return tensors, document


def check_tensors(file: Path, tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Checks names, shapes, types and finiteness.

    *Arguments*: `expected`: tensors of the right names, shapes and types. Where one of them has infinite values, as
    a user's mask may have, the tensor in the file may have them too.

    *Raises* DrilldownError that names the file and the tensor.
    """
    for name in [*expected, *tensors]:
        if name not in tensors:
            raise damaged_file(file, f"the tensor {name} is missing")
        if name not in expected:
            raise damaged_file(file, f"the network has no tensor {name}")
        found, right = tensors[name], expected[name]
        if found.shape != right.shape or found.dtype != right.dtype:
            raise damaged_file(file, f"the tensor {name} is {_kind(found)}, where the network has {_kind(right)}")
        if not bool(found.isfinite().all()) and bool(right.isfinite().all()):
            raise damaged_file(file, f"the tensor {name} has values that are not finite numbers")


def _metadata(content: bytes) -> dict[str, Any]:
    """The metadata of a tensor file that is known to be whole; empty for a file of version 0.1."""
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    try:
        document = json.loads(header.get("__metadata__", {}).get(OWNER_KEY, "{}"))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _kind(tensor: torch.Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "a single value"
    return f"{shape} of {str(tensor.dtype).removeprefix('torch.')}"


def _checksum(tensors: Mapping[str, torch.Tensor], document: Mapping[str, Any]) -> str:
    """The SHA-256 of metadata and tensors: of their names, types, shapes and bytes."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_OWNER = pydantic.TypeAdapter(Owner)
_OWNER_FIELDS = ("fingerprint", "seed", "epoch", "versions")


def state_like(experiment: Experiment, seed: int, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of the names, shapes and types that a state of the experiment has."""
    network = experiment.build_for_training(seed)
    parts = ["network", "average"] if experiment.recipe.ema else ["network"]
    expected = {f"{part}.{name}": tensor for part in parts for name, tensor in network.state_dict().items()}
    parameters = dict(network.named_parameters())
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parameter = parameters.get(rest.rpartition(".")[0])
        if part == "optimizer" and parameter is not None:  # buffers have their parameter's shape; counts have none
            expected[name] = parameter.detach() if tensor.dim() else torch.zeros(())
    return expected
