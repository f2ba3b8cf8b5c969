"""aiperf, NVIDIA's load generator, on a radserve server: what it asks, how it is called, what it found.

    python -m radserve_bench.aiperf export --out questions --set validate.jsonl --policy ENGINE
    python -m radserve_bench.aiperf run --out questions --url http://127.0.0.1:8000 --concurrency 4

aiperf cannot send DICOM, so its images are PNG of what the model sees, rendered by the engine's own image policy: a
gateway renders them once more to the same pixels. It has an environment of its own: `make .venv-aiperf/ready`.
"""

from radserve_bench.aiperf.calling import Call, find_aiperf, run_aiperf
from radserve_bench.aiperf.exporting import Asked, export
from radserve_bench.aiperf.reading import read_export

__all__ = ["Asked", "Call", "export", "find_aiperf", "read_export", "run_aiperf"]
