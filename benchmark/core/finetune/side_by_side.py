"""How many runs of a cell train side by side."""

from __future__ import annotations

import os

import torch

PARAMETERS = 1_000_000  # weights outside the embedding tables
TOKENS = 2500  # of all runs in one step
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

    A group saves what a step costs per call; its matrix products and its optimiser's traffic are as
    many as before, and what it computes stays in a core's cache less often. So it pays for small
    models on few tokens. The constants come from steps of random BERT models in bfloat16 on one
    thread of a server CPU (Zen, AVX-512), by processor time, groups of 5 against one by one, with
    the runs' products still in one batched call, which was worth about 4%:

    ==================  ===========  =====  =====  ======  ======
    layers x width      parameters   DPC 1  DPC 5  DPC 10  DPC 20
    ==================  ===========  =====  =====  ======  ======
    2 x 128             0.41 M       1.6    1.4    1.2     1.1
    4 x 128             0.81 M              1.3
    2 x 256             1.6 M        1.1    1.05
    4 x 256             3.2 M        0.95   1.0
    6 x 384 (MiniLM)    10.8 M       0.9
    ==================  ===========  =====  =====  ======  ======

    with 69, 198, 527 and 985 tokens a step. Groups of 10 gave more than groups of 5 at DPC 1 only,
    1.75 times. Nothing was measured on a GPU, so other devices train one run after another.
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
