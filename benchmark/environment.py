"""What a run was computed with: versions, device, precision; nothing that names a machine."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from benchmark.core.precision import computed_in, name_of
from benchmark.core.threads import usable_cores

PACKAGES = (
    "text-distillation-benchmark",
    "torch",
    "transformers",
    "scikit-learn",
    "numpy",
    "scipy",
    "pandas",
)


def describe_environment() -> dict[str, Any]:
    """Return versions, operating system and device as JSON-able data."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "device": describe_device(),
        "bfloat16 computed in": _low_precision(),
        "versions": versions,
    }


def _low_precision() -> str:
    import torch

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    return name_of(computed_in("bfloat16", kind))


def describe_device() -> str:
    """Name the GPU that torch sees, else the CPU cores this process may use, and their kind."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    cores = usable_cores()
    return f"CPU, {cores} core{'s' * (cores > 1)}, {platform.machine()}"
