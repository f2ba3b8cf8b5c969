"""How `radserve up` takes signals."""

import asyncio
import os
import signal

import pytest

from radserve_client.up import _end_on_signal


class Gateway:
    """Says when it has been told to end."""

    started, should_exit = True, False

    def __init__(self) -> None:
        self.told: asyncio.Queue[bool] = asyncio.Queue()

    def __setattr__(self, name: str, value: object) -> None:
        if name == "force_exit":
            self.told.put_nowait(bool(value))
        super().__setattr__(name, value)


@pytest.mark.parametrize(
    ("signals", "forced"),
    [
        ([signal.SIGINT, signal.SIGTERM], [False, False]),
        ([signal.SIGTERM, signal.SIGINT, signal.SIGINT], [False, False, True]),
        ([signal.SIGTERM, signal.SIGTERM], [False, True]),
    ],
)
def test_only_a_signal_that_is_repeated_breaks_answers_off(
    signals: list[signal.Signals], forced: list[bool]
) -> None:
    """A Ctrl-C reaches all of a terminal's processes, and who started the server then sends SIGTERM as well."""

    async def send() -> list[bool]:
        gateway = Gateway()
        _end_on_signal(gateway)  # type: ignore[arg-type]
        told = []
        for number in signals:
            os.kill(os.getpid(), number)
            told.append(await asyncio.wait_for(gateway.told.get(), 10))
        return told

    assert asyncio.run(send()) == forced
