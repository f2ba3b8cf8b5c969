"""How `radserve up` takes signals; tests/chain sends it real ones."""

import asyncio
import signal
from functools import partial

import pytest

from radserve_client.up import _end_on_signal


class Gateway:
    """Runs, and has not been told to end."""

    started, should_exit, force_exit = True, False, False


@pytest.mark.parametrize(
    ("signals", "forced"),
    [
        ([signal.SIGINT, signal.SIGTERM], [False, False]),
        ([signal.SIGTERM, signal.SIGINT, signal.SIGINT], [False, False, True]),
        ([signal.SIGTERM, signal.SIGTERM], [False, True]),
    ],
)
async def test_only_a_signal_that_is_repeated_breaks_answers_off(monkeypatch, signals, forced):
    """A Ctrl-C reaches all of a terminal's processes, and who started the server then sends SIGTERM as well."""
    handlers, gateway = {}, Gateway()

    def take(number, handler, *given):
        handlers[number] = partial(handler, *given)

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", take)
    _end_on_signal(gateway)
    told = []
    for number in signals:
        handlers[number]()
        assert gateway.should_exit
        told.append(gateway.force_exit)
    assert told == forced
