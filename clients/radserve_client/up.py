"""`radserve up`: Triton with an engine, and the gateway before it, as one command that ends cleanly."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from radserve_client.engine_errors import told_as
from radserve_client.errors import RadserveError
from radserve_client.ports import LOOPBACK, free_ports, listen, show_address
from radserve_client.progress import Progress

if TYPE_CHECKING:
    from radserve_engines.acceptance import Acceptance
    from radserve_engines.embedded_triton import Command
    from radserve_server.embedded import Gateway
    from radserve_server.settings import Settings
    from radserve_server.supervisor import Supervisor
    from radserve_server.triton import TritonBackend

ENGINE_VARIABLE = "RADSERVE_ENGINE"


class CannotStart(RadserveError):
    """The server cannot start on this machine as it is; the message says why and what to do."""


def up(
    engine: Path | None,
    gateway_arguments: Sequence[str],
    *,
    trusted_keys: Sequence[Path] = (),
    allow_ungated: bool = False,
) -> None:
    """Run until SIGTERM or Ctrl-C. Raises CannotStart."""
    # gRPC would tell of each child process that is started beside its threads, and none of them uses it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    try:
        for needed in ("radserve_engines.embedded_triton", "radserve_server.embedded"):
            import_module(needed)
    except ImportError as error:
        message = f"{error.name} is missing: pip install 'radserve[server,cpu]', then try `radserve doctor`"
        raise CannotStart(message) from error
    acceptance = _acceptance(trusted_keys, allow_ungated)
    settings = _settings(gateway_arguments).model_copy(update={"allow_ungated": acceptance.allow_ungated})
    folder = _engine_folder(engine, acceptance)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with (
        tempfile.TemporaryDirectory(prefix="radserve-") as workspace,
        contextlib.suppress(asyncio.CancelledError),
    ):
        runner = asyncio.Runner(loop_factory=import_module("uvloop").new_event_loop)
        with runner:
            runner.run(_serve(folder, acceptance, settings, Path(workspace)))


async def _serve(engine: Path, acceptance: "Acceptance", settings: "Settings", workspace: Path) -> None:
    from radserve_server.embedded import Gateway
    from radserve_server.triton import TritonBackend

    listener = listen(settings.host, settings.port)  # first: a port in use is told before anything starts
    grpc_port, metrics_port = free_ports(2)
    backend = TritonBackend(f"{LOOPBACK}:{grpc_port}", settings.triton_model)
    command = _triton_command(engine, acceptance, workspace, grpc_port, metrics_port)
    triton = _triton(command, backend)
    try:
        gateway = Gateway(settings, backend)
        _end_on_signal(gateway)
        await _start(triton)
        announcement = asyncio.create_task(_announce(gateway, listener, grpc_port, metrics_port))
        await gateway.serve(sockets=[listener])
        await announcement
    except ValueError as error:
        raise CannotStart(str(error)) from error
    finally:
        listener.close()
        await triton.stop()
        await backend.close()


async def _start(triton: "Supervisor") -> None:
    from radserve_server.supervisor import ChildFailed

    try:
        with Progress("Starting Triton and loading the engine"):
            await triton.start()
    except ChildFailed as error:
        raise CannotStart(f"{error}; its own words stand above") from error


async def _announce(gateway: "Gateway", listener: socket.socket, grpc_port: int, metrics_port: int) -> None:
    while not gateway.started and not gateway.should_exit:
        await asyncio.sleep(0.02)
    if gateway.started:
        print("radserve is ready; Ctrl-C ends it.")
        print(f"  gateway  {show_address(listener)}   (its pages: /docs)")
        print(
            f"  Triton   grpc://{LOOPBACK}:{grpc_port}   metrics http://{LOOPBACK}:{metrics_port}/metrics",
            flush=True,
        )


def _end_on_signal(gateway: "Gateway") -> None:
    """The first signal lets running answers finish, its repetition does not; before the start is done it stops at once.

    It is stopped once only: a second signal must not break off the ending of Triton. Who started this may pass a
    Ctrl-C, which came here as well, on as SIGTERM: that is no repetition.
    """
    starting = asyncio.current_task()
    came = set[signal.Signals]()

    def end(number: signal.Signals) -> None:
        if not gateway.started and not gateway.should_exit and starting:
            starting.cancel()
        gateway.force_exit = number in came
        gateway.should_exit = True
        came.add(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end, number)


def _triton_command(
    engine: Path, acceptance: "Acceptance", workspace: Path, grpc_port: int, metrics_port: int
) -> "Command":
    from radserve_engines.assets import model_repo
    from radserve_engines.embedded_triton import TritonPorts, triton_command

    with told_as(CannotStart):
        return triton_command(
            engine, acceptance, model_repo(), workspace, TritonPorts(grpc_port, metrics_port)
        )


def _triton(command: "Command", backend: "TritonBackend") -> "Supervisor":
    from radserve_engines.embedded_triton import HARMLESS
    from radserve_server.backend import EngineUnavailable
    from radserve_server.supervisor import Supervisor

    async def answers() -> bool:
        try:
            await asyncio.wait_for(backend.describe(), 5.0)
        except (EngineUnavailable, TimeoutError):
            return False
        return True

    return Supervisor("Triton", command.arguments, command.environment, answers, noise=HARMLESS)


def _settings(arguments: Sequence[str]) -> "Settings":
    from radserve_engines.acceptance import VARIABLES
    from radserve_server.settings import load_settings

    of_the_engine = (ENGINE_VARIABLE, *VARIABLES)  # `_acceptance` has read those
    environment = {name: value for name, value in os.environ.items() if name not in of_the_engine}
    try:
        return load_settings(list(arguments), environment)
    except ValueError as error:
        raise CannotStart(str(error)) from error


def _acceptance(trusted_keys: Sequence[Path], allow_ungated: bool) -> "Acceptance":
    """The environment's, and what the command line adds to it."""
    from radserve_engines.acceptance import Acceptance

    with told_as(CannotStart):
        known = Acceptance.from_environment()
    return Acceptance((*known.trusted_keys, *trusted_keys), known.allow_ungated or allow_ungated)


def _engine_folder(given: Path | None, acceptance: "Acceptance") -> Path:
    """Checked here as well as in Triton's process, so that a bad folder is told in a line."""
    from radserve_engines.assets import demo_engine

    with told_as(CannotStart):
        folder = given or Path(os.environ.get(ENGINE_VARIABLE) or demo_engine())
        acceptance.accept(folder)
    return folder
