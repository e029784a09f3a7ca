"""The scripts of the page on clusters: Slurm's is run, with a `srun` that starts nodes here."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmark import __version__

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
SMALL = "--suite toy --methods random --tasks-only mood --learners coin --dpc 2"
SCONTROL = '#!/bin/bash\n[[ "$*" == "show hostnames one,two" ]] && hostname && echo another\n'
SRUN = """#!/bin/bash
echo "$@" >> "$HOME/srun.log"
while [[ $1 == -* ]]; do [[ $1 == -w ]] && shift; shift; done
exec "$@"
"""


def block(language: str) -> str:
    """The only block of a language on the page."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return found


def replaced(text: str, by: dict[str, str]) -> str:
    """Each of these is in the text, and is something else afterwards."""
    for old, new in by.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def executable(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home directory as the script wants it: environment, token, and Slurm's programs."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed: pip install -e '.[ray]'")
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    for folder in ("venv/bin", ".ray", "slurm"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "venv/bin/activate").write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    (tmp_path / ".ray/auth_token").write_text(secrets.token_hex(32))
    executable(tmp_path / "slurm/srun", SRUN)
    executable(tmp_path / "slurm/scontrol", SCONTROL)
    # Sockets may have no more than 107 characters in their path.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short:
        (tmp_path / "short").symlink_to(short)
        yield tmp_path


@pytest.mark.ray
def test_the_script_for_slurm_gives_the_rows_of_local(
    world, home, cli, environment, rows_in
) -> None:
    """Two nodes of one CPU; all else is as on the page: order, addresses, token, requeueing."""
    with socket.socket() as found:
        found.bind(("", 0))
        port = found.getsockname()[1]
    flags = world.flags(home / "results")
    short = os.readlink(home / "short")
    small = " ".join(map(str, [SMALL, *flags[flags.index("--tasks") :][:2]]))
    script = replaced(
        block("bash"),
        {
            "6379": str(port),
            "--num-cpus=8 --num-gpus=1": "--num-cpus=1 --num-gpus=1 --object-store-memory=80000000",
            "--head ": f"--head --include-dashboard=false --temp-dir={short} ",
            "--suite dilm": small,
            "$HOME/assets": str(world.assets),
        },
    )
    (home / "batch.sh").write_text(script)
    variables = {
        **environment,
        "HOME": str(home),
        "PATH": f"{home / 'slurm'}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "one,two",
        "RAY_worker_niceness": "0",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    for name in ("first", "requeued"):
        log = home / f"{name}.log"
        with log.open("w") as handle:
            job = subprocess.Popen(
                ["bash", str(home / "batch.sh")],
                env=variables,
                stdout=handle,
                stderr=handle,
                start_new_session=True,
                cwd=ROOT,
            )
        try:
            assert job.wait(timeout=400) == 0, log.read_text()
        finally:  # as Slurm does at the end of a job
            os.killpg(job.pid, signal.SIGKILL)
    assert "0 trainings" in log.read_text(), "what was requeued found everything done"
    assert cli("run", *SMALL.split(), *world.flags(home / "local")).code == 0
    pd.testing.assert_frame_equal(rows_in(home / "results"), rows_in(home / "local"))
    head, others = (home / "srun.log").read_text().splitlines()[:2]
    assert "--head" in head
    assert "--nodes=7" in others


def test_the_steps_for_slurm_ask_for_the_cores_of_the_job() -> None:
    """Since Slurm 22.05 a step has one core a task unless `srun` itself is told of more."""
    script = block("bash")
    (cores,) = re.findall(r"^#SBATCH .*--cpus-per-task=(\d+)", script, re.M)
    steps = re.findall(r"^srun (.+?) ray start (.+)", script, re.M)
    assert len(steps) == 2
    for of_slurm, of_ray in steps:
        assert f"--cpus-per-task={cores}" in of_slurm.split()
        assert f"--num-cpus={cores}" in of_ray.split()


def test_the_cluster_for_kubernetes_is_of_this_version() -> None:
    made = yaml.safe_load(block("yaml"))["spec"]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"ray=={made['rayVersion']}\n" in pinned
    (workers,) = made["workerGroupSpecs"]
    for group in (made["headGroupSpec"], workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"].endswith(f"text-distillation-benchmark:{__version__}")
        assert [v["name"] for v in pod["volumes"]] == [v["name"] for v in container["volumeMounts"]]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    assert made["authOptions"] == {"mode": "token"}
