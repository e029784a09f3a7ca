"""What a run was computed with: versions and device, without anything that names a machine."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

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
        "versions": versions,
    }


def describe_device() -> str:
    """Name the GPU that torch sees, else the CPU cores this process may use, and their kind."""
    try:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name(0)
    except ImportError:
        pass
    cores = usable_cores()
    return f"CPU, {cores} core{'s' * (cores > 1)}, {platform.machine()}"
