"""How a process must be started for TensorRT-LLM's workers to come up beside it.

`tensorrt_llm.LLM` puts its model into worker processes of its own, one a GPU, spawned through MPI. In Triton's
container that spawning fails (MPI_ERR_SPAWN); NVIDIA's wrapper `trtllm-llmapi-launch` starts the workers first, hands
their address down in the environment (TLLM_SPAWN_PROXY_PROCESS*), and what inherits it finds them: Triton, its Python
stub, and the engine's process that the stub starts. Several GPUs: one rank each under mpirun; the first runs Triton.
"""

import os
from collections.abc import MutableMapping, Sequence

_WRAPPER = "trtllm-llmapi-launch"
HANDED_DOWN = "TLLM_SPAWN_PROXY_PROCESS"
# What describes the MPI job that this process belongs to. A second MPI_Init under it is undefined; settings such as
# OMPI_MCA_btl stay. After NVIDIA's own Triton model (triton_backend/all_models/llmapi).
_JOB_PREFIXES = (
    "OMPI_COMM_WORLD_",
    "OMPI_UNIVERSE_SIZE",
    "OMPI_FIRST_RANKS",
    "OMPI_APP_CTX_NUM_PROCS",
    "OMPI_MCA_orte_",
    "ORTE_",
    "PMIX_RANK",
    "PMIX_NAMESPACE",
    "PMIX_SERVER_",
    "PMIX_SYSTEM_TMPDIR",
    "PMIX_SECURITY_MODE",
    "PMIX_HOSTNAME",
    "PMI_",
)


def launch_command(command: Sequence[str], tensor_parallel: int = 1) -> list[str]:
    """`command` (tritonserver and its options) with what must stand before it, one machine, so many GPUs.

    Several machines: `srun --mpi=pmix --ntasks-per-node=GPUS -N MACHINES trtllm-llmapi-launch COMMAND` instead.
    """
    ranks = ["mpirun", "--allow-run-as-root", "-n", str(tensor_parallel)] if tensor_parallel > 1 else []
    return [*ranks, _WRAPPER, *command]


def prepare_environment(environment: MutableMapping[str, str] | None = None) -> None:
    """Before `tensorrt_llm` is imported: no usage reports, and no MPI job that is not this process's own."""
    variables = os.environ if environment is None else environment
    variables["TRTLLM_NO_USAGE_STATS"] = "1"
    variables["DO_NOT_TRACK"] = "1"
    variables.setdefault("TOKENIZERS_PARALLELISM", "false")
    if HANDED_DOWN not in variables:
        for name in [name for name in variables if name.startswith(_JOB_PREFIXES)]:
            del variables[name]
