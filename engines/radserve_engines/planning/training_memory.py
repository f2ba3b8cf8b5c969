"""What training the model would take: why a checkpoint comes sharded, and trained with ZeRO or FSDP.

Mixed precision with Adam keeps 16 bytes a parameter: weights 2, gradients 2, fp32 master weights 4, and Adam's two
moments 8. ZeRO divides more of it over N GPUs with every stage (Rajbhandari et al., 2020, figure 1).
"""

from dataclasses import dataclass

WEIGHTS, GRADIENTS, OPTIMIZER = 2, 2, 12


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes on one of `gpus` GPUs, by ZeRO stage 0 (all repeated) to 3 (all divided); activations come on top."""

    gpus: int
    stages: tuple[float, float, float, float]


def training_memory(parameters: int, gpus: int) -> TrainingMemory:
    """For full fine-tuning with Adam."""
    stages = (
        float(WEIGHTS + GRADIENTS + OPTIMIZER),
        WEIGHTS + GRADIENTS + OPTIMIZER / gpus,
        WEIGHTS + (GRADIENTS + OPTIMIZER) / gpus,
        (WEIGHTS + GRADIENTS + OPTIMIZER) / gpus,
    )
    zero, one, two, three = (parameters * each for each in stages)
    return TrainingMemory(gpus, (zero, one, two, three))
