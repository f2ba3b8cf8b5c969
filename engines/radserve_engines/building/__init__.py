"""From checkpoint to engine: `radserve engine build`, stage by stage, each on record.

`plan` checks what was asked for (`request`) before any work; `build` runs the stages: `quantizing`, `compiling`,
`judging` and the signature. `regating` judges an engine that exists already, `tables` shows several side by side.
"""

from radserve_engines.building.build import build_engine
from radserve_engines.building.request import BuildRequest

__all__ = ["BuildRequest", "build_engine"]
