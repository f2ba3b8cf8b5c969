"""Triton's entry: everything is in radserve_engines, so that it can be typed, tested and versioned."""

import triton_python_backend_utils as pb_utils

from radserve_engines.triton_model import ClinicalVqa


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.model = ClinicalVqa.from_environment(pb_utils)

    def execute(self, requests: list[object]) -> None:
        self.model.execute(requests)

    def finalize(self) -> None:
        self.model.close()
