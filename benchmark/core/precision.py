"""What bfloat16 is computed in: itself where the machine has instructions for it, else float32.

Without them a linear layer in bfloat16 takes nine times as long as in float32, the gradient of its
input forty (an x86 core with AVX2 alone, 512 tokens, 384 to 1,536). So a recipe's `bfloat16` names
the least precision that it is computed in, and what a machine made of it stands in the environment
of its rows.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")
"""Names by which torch knows them, of x86 and of ARM."""


@cache
def has_bfloat16(kind: str) -> bool:
    """Whether devices of a kind, `cpu` or `cuda`, multiply matrices in bfloat16 by themselves."""
    import torch

    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu" or not torch.backends.mkldnn.is_available():
        return kind != "cpu"  # without oneDNN torch has nothing that uses a CPU's instructions
    if hasattr(torch.cpu, "get_capabilities"):
        known = torch.cpu.get_capabilities()
        return any(known.get(name, False) for name in INSTRUCTIONS)
    return torch.cpu._is_avx512_bf16_supported()  # torch before it had the table


def computed_in(precision: str, device: torch.device | str) -> torch.dtype:
    """The type that a device computes `precision` ("float32", "bfloat16", "float16") in."""
    import torch

    kind = torch.device(device).type
    if precision == "bfloat16" and not has_bfloat16(kind):
        return torch.float32
    return getattr(torch, precision)


def name_of(dtype: torch.dtype) -> str:
    """The name of a type as recipes write it: "float32"."""
    return str(dtype).removeprefix("torch.")


def autocast(precision: str, device: torch.device | str) -> torch.autocast:
    """Autocast to bfloat16 where that is wanted and the device has it; else nothing."""
    import torch

    low = computed_in(precision, device) is torch.bfloat16
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=low)
