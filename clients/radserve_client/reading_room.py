"""The reading room: the viewer before an archive and a gateway, or all three on one machine to try it."""

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from radserve_client.orthanc import running_orthanc
from radserve_client.ports import show_address
from radserve_client.progress import Progress
from radserve_client.running import running_server
from radserve_client.studies import find_files, load, sample_files

if TYPE_CHECKING:
    from radserve_server.viewer.settings import ViewerSettings


def run_until_ended(work: Coroutine[None, None, None]) -> None:
    """Run it until SIGTERM or Ctrl-C; a second signal does not break off its ending."""

    async def run() -> None:
        working = asyncio.ensure_future(work)
        ending = asyncio.Event()

        def end() -> None:
            if not ending.is_set():
                working.cancel()
            ending.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
        with contextlib.suppress(asyncio.CancelledError):
            await working

    asyncio.run(run())


async def show(settings: "ViewerSettings", listener: socket.socket, announce: Callable[[str], None]) -> None:
    """Serve the viewer until cancelled; `announce` gets its address once it answers."""
    from radserve_server.viewer.serving import ViewerServer

    server = ViewerServer(settings)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    ready = asyncio.ensure_future(server.ready.wait())
    try:
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if server.ready.is_set():
            announce(show_address(listener))
        await asyncio.shield(serving)
    finally:
        ready.cancel()
        server.should_exit = True
        await serving


async def demonstrate(settings: "ViewerSettings", listener: socket.socket, study: Path | None) -> None:
    """An archive with studies in it, the gateway with the demo engine, and the viewer, until cancelled."""
    files = sample_files() if study is None else find_files(study)
    with (
        tempfile.TemporaryDirectory(prefix="radserve-archive-") as folder,
        running_orthanc(Path(folder)) as orthanc,
    ):
        with Progress(f"Loading {len(files)} images into Orthanc"):
            studies = load(orthanc, files)
        audit = Path(folder) / "audit.jsonl"
        async with running_server("--pacs-url", orthanc.dicom_web, "--audit-file", str(audit)) as server:
            archive = replace(settings.archive, url=orthanc.dicom_web)
            gateway = replace(settings.gateway, url=server.url, login=dict)

            def announce(address: str) -> None:
                print(
                    "The reading room is ready; Ctrl-C ends it, and its archive and audit file are forgotten."
                )
                print(f"  archive  {orthanc.dicom_web}   (Orthanc, studies: {len(studies)})")
                print(f"  gateway  {server.url}   (demo engine: not for clinical use)")
                print(f"  audit    {audit}")
                print(f"  viewer   {address}")
                print(f"Open:      {address}/viewer?StudyInstanceUIDs={studies[0]}", flush=True)

            await show(replace(settings, archive=archive, gateway=gateway), listener, announce)
