"""The way into a Ray cluster: the connection, its token, and whether the nodes fit the driver."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmark
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.library import LibraryConfig
from benchmark.core.locks import kernel_lock

CONNECT_SECONDS = 10
LAST_PORT = 65_535
LOCAL_OBJECT_STORE = 200_000_000  # bytes; only records and predictions pass through it
TOKEN_HELP = (
    "The driver needs the cluster's token, as RAY_AUTH_TOKEN, in a file that RAY_AUTH_TOKEN_PATH "
    "names, or in ~/.ray/auth_token (`ray get-auth-token --generate` makes one); nodes must be "
    "started with RAY_AUTH_MODE=token and the same token. See docs/cluster.md"
)


def connect(address: str, workers: int) -> Any:
    """Join a cluster (`auto`, `HOST:PORT`), or start one on this machine (`local`); returns `ray`.

    Authentication is on unless `RAY_AUTH_MODE` says otherwise: whoever reaches a cluster without
    it can run any program there.

    Raises what `check_way_in` does, and `InputError` where the cluster refuses.
    """
    check_way_in(address)
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address == "local":
        options |= {
            "num_cpus": workers if workers > 1 else None,
            "include_dashboard": False,
            "object_store_memory": LOCAL_OBJECT_STORE,
        }
    try:
        ray.init(address=address, logging_level="error", **options)
    except ray.exceptions.AuthenticationError as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"--ray-address {address}: {said}. {TOKEN_HELP}") from error
    except (ConnectionError, ray.exceptions.RaySystemError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise InputError(f"--ray-address {address}: {said}. {TOKEN_HELP}") from error
    return ray


def check_way_in(address: str) -> None:
    """Find out at once what Ray would take minutes to say.

    Raises `UnavailableError` without the package, `InputError` for an address that is none or at
    which nothing answers.
    """
    if importlib.util.find_spec("ray") is None:
        raise UnavailableError(
            "--executor ray needs the package ray: pip install -c constraints.txt -e '.[ray]'"
        )
    place = check_form(address)
    if place is None:
        return
    try:
        socket.create_connection(place, CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            f"--ray-address {address}: nothing answers there ({error}). "
            "Start the cluster with `ray start --head` (docs/cluster.md)"
        ) from error


def check_form(address: str) -> tuple[str, int] | None:
    """The host and port of an address, None for `auto` and `local`; nothing is connected to.

    Raises `InputError` for an address that is none.
    """
    if address in ("auto", "local"):
        return None
    host, _, port = address.rpartition(":")
    if "//" in address or not host or not port.isdecimal() or int(port) > LAST_PORT:
        raise InputError(
            f"--ray-address {address!r} is neither auto, local nor HOST:PORT. Start the driver on "
            "a node of the cluster (with `ray job submit`, for one), not through ray://"
        )
    return host.strip("[]"), int(port)


@dataclass(frozen=True)
class Shared:
    """What driver and workers must see alike: the store, told by a fresh file in it; the inputs."""

    config: LibraryConfig
    mark: Path
    version: str

    @classmethod
    def of(cls, config: LibraryConfig) -> Shared:
        """Leave a mark in the store, by which a worker knows that it sees the same directory."""
        mark = config.store / f".ray-{uuid.uuid4().hex}"
        mark.touch()
        return cls(config, mark, benchmark.__version__)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the mark, by which other drivers know that it is in use; remove it afterwards."""
        with kernel_lock(self.mark):
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    self.mark.unlink(missing_ok=True)

    def missing(self) -> str:
        """What of it this machine lacks; "" if nothing."""
        lacking = []
        if not self.mark.is_file():
            lacking.append(f"--store {self.config.store} is not the driver's directory")
        for flag, path in (
            ("--assets", self.config.assets),
            *(("--tasks", path) for path in self.config.tasks),
        ):
            if path is not None and not path.exists():
                lacking.append(f"there is no {flag} {path}")
        if benchmark.__version__ != self.version:
            lacking.append(
                f"version {benchmark.__version__} of the benchmark is installed, the driver has "
                f"{self.version}"
            )
        name = socket.gethostname()
        return f"on node {name} {', '.join(lacking)}" if lacking else ""


def misfits(ray: Any, shared: Shared) -> list[str]:
    """Ask every node whether it fits the driver; returns what is wrong, a text a node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(_look)
    asked = [
        look.options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(shared)
        for node in ray.nodes()
        if node["Alive"]
    ]
    found = []
    for answer in asked:
        try:
            found.append(ray.get(answer))
        except ray.exceptions.RayTaskError as error:  # the package is not there, most likely
            found.append(f"a node cannot run the benchmark: {error.cause}")
        except ray.exceptions.RayError:
            continue  # it has left the cluster since
    return [text for text in dict.fromkeys(found) if text]


def _look(shared: Shared) -> str:
    return shared.missing()


def this_node() -> str:
    """The id of the node on which a task runs."""
    import ray

    return ray.get_runtime_context().get_node_id()
