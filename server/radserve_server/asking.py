"""Asks a question on the server's own account: standing questions, and work items of the worklist."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from radserve_server.answer_store import KeptAnswer
from radserve_server.answering import Asked, RunningAnswer, check_image_count
from radserve_server.conversation import ask_about_images
from radserve_server.schemas import DicomReference
from radserve_server.services import Services
from radserve_server.sources import SourceReader


async def ask_about(
    services: Services,
    caller: str,
    references: Sequence[DicomReference],
    question: str,
    *,
    model: str | None = None,
    system: str | None = None,
    sampling: Mapping[str, Any] | None = None,
) -> KeptAnswer:
    """The whole answer, kept for `caller` like any other; `system` is a system message. Raises GatewayError."""
    started = time.perf_counter()
    engine = services.watch.require(model)
    reader = SourceReader(services.store, services.series, caller, engine.policy, services.archives)
    sources = await reader.read_all((), references, None)
    check_image_count(engine, len(sources), "image_dicom")
    told = () if system is None else ({"role": "system", "content": system},)
    messages = (*told, *ask_about_images(question, len(sources)))
    asked = Asked(engine, messages, sources, dict(sampling or {}), started, started, caller)
    answer = await RunningAnswer.begin(services, asked)
    try:
        async for _ in answer.batches():
            pass
        return answer.ending.answer
    finally:
        await answer.close()
