"""Fine-tuned checkpoints: what a folder holds, adapters merged into it, and its plain form. Imports no torch."""

from radserve_engines.checkpoints.checkpoint import Checkpoint, read_checkpoint
from radserve_engines.checkpoints.merging import merge_adapters
from radserve_engines.checkpoints.writing import write_plain

__all__ = ["Checkpoint", "merge_adapters", "read_checkpoint", "write_plain"]
