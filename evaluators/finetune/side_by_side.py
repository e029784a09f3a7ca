"""How many runs of a cell train side by side."""

from __future__ import annotations

import os

import torch

PARAMETERS = 1_000_000  # weights outside the embedding tables
TOKENS = 1250  # of all runs in one step
RUNS = 10
BYTES = 24  # per weight: value, gradient, two moments in float32, two copies in bfloat16
SHARE = 4  # a group takes at most this part of the free memory


def runs_side_by_side(parameters: int, tokens: int, device: torch.device, free: int) -> int:
    """Choose the size of a group; 1 means one run after another.

    Parameters
    ----------
    parameters : weights of a run outside the embedding tables.
    tokens : tokens that a run reads in one step.
    device : where the model trains.
    free : free memory of that device in bytes.

    A group saves what a step costs per call, not what it costs per weight or token. PLACEHOLDER

    Nothing was measured on a GPU, so other devices train one run after another.
    """
    if device.type != "cpu" or parameters > PARAMETERS:
        return 1
    fitting = free // SHARE // (BYTES * parameters)
    return max(1, min(TOKENS // tokens, RUNS, fitting))


def free_memory(device: torch.device) -> int:
    """Free memory of a device in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
