"""All meters of a point as one."""

from collections.abc import Sequence
from dataclasses import replace

from radserve_bench.metering.bystanders import Bystanders
from radserve_bench.metering.gpu import GpuMeter
from radserve_bench.metering.processes import ProcessMeter
from radserve_bench.record import Usage


class Meters:
    """Processor and memory of `processes` and their descendants, None for a target elsewhere; and this machine's GPUs.

    GPUs and bystanders are another machine's when the target is elsewhere, so nothing is said of them then.
    """

    def __init__(self, processes: Sequence[int] | None) -> None:
        self._processes = None if processes is None else ProcessMeter(processes)
        self._gpu = None if processes is None else GpuMeter()
        self._bystanders = Bystanders()

    def start(self) -> None:
        """Begin to count."""
        self._bystanders.start()
        for meter in (self._processes, self._gpu):
            if meter is not None:
                meter.start()

    def stop(self) -> Usage:
        """What was used since."""
        used = Usage() if self._processes is None else self._processes.stop()
        if self._gpu is None:
            return used
        others = self._bystanders.stop(used.cpu_s or 0.0)
        gpu = self._gpu.stop()
        return replace(
            used,
            gpu_energy_j=gpu.gpu_energy_j,
            gpu_power_w=gpu.gpu_power_w,
            gpu_memory_bytes=gpu.gpu_memory_bytes,
            others_share=others,
        )
