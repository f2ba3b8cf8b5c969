"""Plans that have a name."""

from collections.abc import Sequence
from dataclasses import dataclass

from radserve_bench.driving.asking import Terms
from radserve_bench.driving.load import Amount, Cell
from radserve_bench.driving.run import Plan
from radserve_bench.errors import BenchError
from radserve_bench.record import Load
from radserve_bench.workloads.catalogue import workload_named

_QUICK_S = 75.0
"""Starting and ending take some twenty seconds besides."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says of a plan; `requests` None: two for each asker, eight at least."""

    workloads: Sequence[str] = ("ct-slice",)
    closed: Sequence[int] = ()
    open: Sequence[float] = ()
    requests: int | None = None
    seconds: float = 10.0
    rounds: int = 5
    tokens: int | None = 32
    timeout_s: float = 120.0
    seed: int = 1


def make_plan(wish: Wish) -> Plan:
    """All loads on all workloads. Raises BenchError for a workload that is not known."""
    named = [Load("closed", amount) for amount in wish.closed] + [Load("open", rate) for rate in wish.open]
    loads = list(dict.fromkeys(named))  # what is named twice is measured once
    for rate in wish.open:
        if rate * wish.seconds < 1:
            raise BenchError(f"{rate:g} visits a second for {wish.seconds:g} s are none: raise --seconds")
    terms = Terms(wish.tokens, wish.timeout_s)
    cells = [
        Cell(workload_named(name), load, Amount(wish.requests or _requests(load), wish.seconds), terms)
        for name in dict.fromkeys(wish.workloads)
        for load in loads or [Load("closed", 1), Load("closed", 8)]
    ]
    return Plan(tuple(cells), wish.rounds, wish.seed)


def quick_plan(seed: int = 1) -> Plan:
    """Under two minutes on two cores with a server, its Triton and PyTorch: a CT slice, one and eight at once."""
    slice_ = workload_named("ct-slice")
    alone = Cell(slice_, Load("closed", 1), Amount(requests=4))
    eight = Cell(slice_, Load("closed", 8), Amount(requests=16))
    return Plan((alone, eight), rounds=7, seed=seed, budget_s=_QUICK_S)


def scale_plan(seed: int = 1) -> Plan:
    """One thing grown at a time: questions at once, images a question, pixels of the image, length of the answer."""
    one = Load("closed", 1)
    slice_ = workload_named("ct-slice")
    cells = [Cell(slice_, Load("closed", amount), Amount(4 * amount)) for amount in (1, 2, 4, 8, 16, 32)]
    cells += [Cell(workload_named("ct-slice", images=count), one, Amount(6)) for count in (2, 3, 4)]
    cells += [Cell(workload_named("ct-slice", side=side), one, Amount(6)) for side in (256, 1024, 2048)]
    cells += [Cell(slice_, one, Amount(6), Terms(tokens), f"{tokens} tokens") for tokens in (1, 8, 64, 128)]
    return Plan(tuple(cells), rounds=3, seed=seed)


def _requests(load: Load) -> int:
    return max(8, 2 * int(load.amount))
