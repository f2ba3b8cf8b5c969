"""The baseline: the same checkpoint in PyTorch, asked through `transformers` `generate`, one question at a time.

On a machine with a GPU it runs there, in bf16; else on the processor in fp32, for bf16 is slower on most.

It runs in a process of its own, so that its memory and its CPU are its own and the load generator is not held up; no
HTTP lies between. Several questions at once wait in line, in the order in which they came, as in a script; their
latencies count the wait.

In its favour: images are rendered by the checkpoint's image policy, and the prompt is tokenized and the images are
preprocessed, before the clock starts (`prepare`). A server does both within its clock.

- sent: the question was put in line. first: `generate` gave out the first token. end: `generate` returned.
- split: queue (in line), vision (until the vision tower is done), prefill (until the first token), decode.

Clocks are `time.perf_counter`, which on Linux is one for all processes. PyTorch's threads spin for a moment after
their work: pause before measuring another target.
"""

import asyncio
import hashlib
import importlib.util
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from radserve_bench.errors import BenchError, Broken
from radserve_bench.record import Description
from radserve_bench.targets.prepared import model_sees
from radserve_bench.targets.protocol import Reply
from radserve_bench.targets.torch_messages import Answered, Ask, Failed, Prepare, Ready
from radserve_bench.targets.torch_process import TorchProcess
from radserve_bench.visit import Visit
from radserve_engines.errors import EngineError
from radserve_engines.manifest import read_manifest
from radserve_imaging import ImagePolicy

_WORKER = "radserve_bench.targets.torch_worker"
_NOTES = {
    "asked": "transformers generate, one question at a time; others wait in line",
    "before the clock": "rendering, tokenizing and image preprocessing, in the baseline's favour",
}


class TorchTarget:
    """A checkpoint folder with its engine.json; see `Target`. `device` is PyTorch's name for it, if not the default."""

    def __init__(
        self, name: str, checkpoint: Path, *, device: str | None = None, dtype: str | None = None
    ) -> None:
        self._name = name
        self._checkpoint = checkpoint
        self._how = (device or "auto", dtype or "auto")
        self._policy = ImagePolicy()
        self._process: TorchProcess | None = None
        self._kept: tempfile.TemporaryDirectory[str] | None = None
        self._prepared: set[Path] = set()

    @property
    def name(self) -> str:
        """See `Target.name`."""
        return self._name

    async def open(self) -> Description:
        """Start the process and load the checkpoint. Raises BenchError."""
        if missing := [one for one in ("torch", "transformers") if importlib.util.find_spec(one) is None]:
            raise BenchError(
                f"{' and '.join(missing)} not installed: pip install 'radserve[baseline]', or leave out {self._name}"
            )
        try:
            manifest = await asyncio.to_thread(read_manifest, self._checkpoint)
        except EngineError as error:
            raise BenchError(f"{self._name}: {error}") from error
        self._policy = manifest.image_policy
        self._kept = tempfile.TemporaryDirectory(prefix="radserve-bench-")
        self._process = TorchProcess()
        ready: Ready = await self._process.start(_WORKER, [str(self._checkpoint), *self._how])
        details = {"checkpoint": manifest.checkpoint_sha256, **ready.details, **_NOTES}
        return Description(self._name, "PyTorch", manifest.name, manifest.digest, details)

    async def prepare(self, visits: Sequence[Visit]) -> None:
        """Render, tokenize and preprocess, into files that only this target reads. Raises BenchError."""
        for visit in visits:
            paths = {question: self._path(visit, question) for question in visit.questions}
            if self._prepared.issuperset(paths.values()):
                continue
            images = await asyncio.to_thread(model_sees, visit, self._policy)
            for question, path in paths.items():
                reply = await self._running().call(Prepare(str(path), question, images))
                if isinstance(reply, Failed):
                    raise BenchError(f"{self._name}, {visit.kind}: {reply.message}")
                self._prepared.add(path)

    def begin(self, visit: Visit) -> "TorchSitting":
        """See `Target.begin`."""
        return TorchSitting(self, visit)

    def processes(self) -> Sequence[int] | None:
        """The child's process id."""
        return [self._running().pid]

    async def close(self) -> None:
        """End the process, and remove what was prepared."""
        if self._process is not None:
            await self._process.stop()
            self._process = None
        if self._kept is not None:
            self._kept.cleanup()
            self._kept = None

    async def answer(self, visit: Visit, question: str, tokens: int | None) -> Answered:
        """The worker's own account. Raises Broken where `generate` fails, BenchError if the process has died."""
        path = self._path(visit, question)
        if path not in self._prepared:
            raise BenchError(f"{self._name}: this visit was not prepared")
        reply = await self._running().call(Ask(str(path), tokens))
        if isinstance(reply, Failed):
            raise Broken(reply.message)
        answered: Answered = reply
        return answered

    def _running(self) -> TorchProcess:
        if self._process is None:
            raise BenchError(f"{self._name} is not open")
        return self._process

    def _path(self, visit: Visit, question: str) -> Path:
        if self._kept is None:
            raise BenchError(f"{self._name} is not open")
        words = "\n".join([*(file.digest for file in visit.files), str(visit.stack), question])
        return Path(self._kept.name, hashlib.sha256(words.encode()).hexdigest())


class TorchSitting:
    """Each question is asked by itself, with the visit's images; see `Sitting`."""

    def __init__(self, target: TorchTarget, visit: Visit) -> None:
        self._target = target
        self._visit = visit

    async def ask(self, question: str, tokens: int | None) -> Reply:
        """See `Sitting.ask`."""
        sent = time.perf_counter()
        answered = await self._target.answer(self._visit, question, tokens)
        stages = ("queue", "vision", "prefill", "decode")
        first = answered.times[0]
        times = (sent, answered.began, answered.encoded, first, answered.end)
        split = {stage: 1e3 * (times[i + 1] - times[i]) for i, stage in enumerate(stages)}
        count = len(answered.times)
        return Reply(sent, first, answered.end, list(answered.times), answered.prompt_tokens, count, split)
