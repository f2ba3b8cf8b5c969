"""PyTorch on one GPU, as fast as `transformers` goes: the baseline that an engine has to beat.

    python benchmarks/gpu.py --out results                     # Qwen2.5-VL-3B and 7B
    python benchmarks/gpu.py --models 3b --budget-s 540        # ends in time, with what it has

It needs PyTorch and transformers (4.57 to 5.17 were read) and nothing else, no network and no weights: the models have
their true size and random weights, for speed does not depend on what they say. All in bf16, on one GPU.

What is asked: one square image (448 or 896 pixels: 256 or 1,024 tokens) and 76 tokens of text; an answer of fixed
length, chosen greedily; 1 to 64 such questions in one batch, which start and end together. Pixels lie on the GPU,
normalised and cut into patches, before the clock starts. There is no EOS check, no tokenizer and no queue.

How it is answered:
- eager: attention as written, scores in memory; the KV cache grows by concatenation.
- sdpa: PyTorch's fused attention; the cache grows likewise. This is what `generate` does by default.
- graph: sdpa, a static KV cache, and one decode step captured as a CUDA graph and replayed, without Python between
  (on a CPU, where this script can be tried, the same step without the graph).
- compiled (only if asked for): as graph, the step through torch.compile first.

What is measured, after a warm-up at every point, the device synchronised before each reading of the clock:
- TTFT: from the call with the whole batch to its first tokens, in two parts: vision (tower and merger) and prefill.
- ITL: from one token of the batch to the next; median, least and most of all steps of all repeats.
- tokens/s: batch / ITL while decoding; and over the whole answer, first token included.
- power: the driver's energy counter over the repeats; memory: PyTorch's peak.

How near the roofline, by the card's data sheet (bandwidth W, dense bf16 arithmetic C); P are the language model's
layers and head, V the vision side, T the prompt, A its attention 2 T² · heads · head_dim · layers:
- decode: least time = max(bytes / W, FLOP / C), bytes = 2 P + batch · context · KV bytes a token (context halfway
  through the answer), FLOP = batch · (2 P + 4 · context · heads · head_dim · layers). Share = least time / ITL.
- first token: FLOP = batch · (2 · layers' parameters · T + A + 2 · head + vision), vision = 2 V for each patch (the
  merger for each token) and its attention. Share = FLOP / C / TTFT.
For the 3B on an H100: 2 · 3.09 G / 3.35 TB/s = 1.86 ms a token, 539 tokens/s; and 12 ms to the first at 896².

A batch that does not fit is told as such, and larger ones of its kind are not tried. The document is written anew after
every point, so that an interruption keeps what was measured. The last line of stdout is the document, as JSON.
"""

import argparse
import contextlib
import ctypes
import gc
import itertools
import json
import math
import re
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, StaticCache

# 5.x keeps the place in the cache itself; 4.x has to be told.
_TELLS_PLACE = int(transformers.__version__.split(".")[0]) < 5
_TEXT_BEFORE, _TEXT = 20, 76
_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "window_size": 112,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "tokens_per_second": 2,
}
_LANGUAGE = {
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
}
# (hidden, intermediate, layers, heads, KV heads, vocabulary, tied head), as in the published config.json
_SHAPES = {
    "3b": (2048, 11008, 36, 16, 2, 151936, True),
    "7b": (3584, 18944, 28, 28, 4, 152064, False),
    "tiny": (64, 128, 2, 4, 2, 512, True),
}
# Bytes/s, dense bf16 FLOP/s: NVIDIA's data sheets of the SXM modules (L4 and L40S: the cards)
_CARDS = {
    "H200": (4.8e12, 990e12),
    "H100 80GB HBM3": (3.35e12, 990e12),
    "A100-SXM4-80GB": (2.039e12, 312e12),
    "A100-SXM4-40GB": (1.555e12, 312e12),
    "L40S": (0.864e12, 362e12),
    "L4": (0.3e12, 121e12),
    "B200": (8e12, 2250e12),
}


def make_config(name: str) -> Qwen2_5_VLConfig:
    """Of "3b", "7b" or "tiny"."""
    hidden, intermediate, layers, heads, kv_heads, vocabulary, tied = _SHAPES[name]
    vision: dict[str, Any] = {**_VISION, "out_hidden_size": hidden}
    language: dict[str, Any] = {
        **_LANGUAGE,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
    }
    last = min(vocabulary, 151665)
    if name == "tiny":
        vision |= {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2}
        vision["fullatt_block_indexes"] = [1]
        language["rope_scaling"] = {"type": "mrope", "mrope_section": [2, 3, 3]}
    return Qwen2_5_VLConfig(
        text_config=language,
        vision_config=vision,
        tie_word_embeddings=tied,
        image_token_id=last - 10,
        video_token_id=last - 9,
        vision_start_token_id=last - 13,
        vision_end_token_id=last - 12,
    )


def make_model(config: Qwen2_5_VLConfig, device: torch.device, dtype: torch.dtype) -> Any:
    """Random weights, drawn where they will lie."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return Qwen2_5_VLForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters by what they multiply, and attention's widths; `kv_bytes` in bf16, of one token."""

    body: int
    head: int
    per_patch: int
    per_token: int
    attended: int
    kv_bytes: int
    vision_hidden: int
    vision_full: int
    vision_windowed: int

    @classmethod
    def of(cls, model: Any) -> "Size":
        """Counted in the model itself."""
        text, vision = model.config.get_text_config(), model.config.vision_config
        inner, tower = model.model.language_model, model.model.visual
        head_dim = text.hidden_size // text.num_attention_heads
        merger = _count(tower.merger)
        return cls(
            body=_count(inner) - _count(inner.embed_tokens),
            head=text.vocab_size * text.hidden_size,
            per_patch=_count(tower) - merger,
            per_token=merger,
            attended=text.num_hidden_layers * text.num_attention_heads * head_dim,
            kv_bytes=2 * 2 * text.num_hidden_layers * text.num_key_value_heads * head_dim,
            vision_hidden=vision.hidden_size,
            vision_full=len(vision.fullatt_block_indexes),
            vision_windowed=vision.depth - len(vision.fullatt_block_indexes),
        )

    def first_flop(self, patches: int, prompt: int) -> float:
        """Of one question, to its first token."""
        reach = self.vision_full * patches + self.vision_windowed * min(64, patches)
        vision = 2 * (self.per_patch * patches + self.per_token * patches // 4)
        vision += 4 * self.vision_hidden * patches * reach
        return vision + 2 * self.body * prompt + 2 * prompt * prompt * self.attended + 2 * self.head

    def step_flop(self, context: float) -> float:
        """Of one token of one answer."""
        return 2 * (self.body + self.head) + 4 * context * self.attended

    def step_bytes(self, batch: int, context: float) -> float:
        """Of one step of all answers."""
        return 2 * (self.body + self.head) + batch * context * self.kv_bytes


def _count(module: torch.nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch of the same question: ids (B, T), positions (3, B, T), patches, and what a token's next position is."""

    ids: torch.Tensor
    positions: torch.Tensor
    pixels: torch.Tensor
    grid: torch.Tensor
    next_position: int

    @property
    def prompt(self) -> int:
        return int(self.ids.shape[1])

    @property
    def patches(self) -> int:
        return int(self.grid[0].prod())


def make_question(config: Any, side: int, batch: int, device: torch.device, dtype: torch.dtype) -> Asked:
    """Text, an image of side × side random pixels, text; positions as M-RoPE counts them."""
    patch, merge = config.vision_config.patch_size, config.vision_config.spatial_merge_size
    rows = side // patch
    cells = rows // merge
    generator = torch.Generator(device).manual_seed(0)
    before, after = _TEXT_BEFORE, _TEXT - _TEXT_BEFORE
    words = torch.randint(16, 400, (batch, _TEXT), device=device, generator=generator)
    image = torch.full((batch, cells * cells), config.image_token_id, device=device)
    words[:, before - 1], words[:, before] = config.vision_start_token_id, config.vision_end_token_id
    ids = torch.cat([words[:, :before], image, words[:, before:]], 1)
    lead, tail = torch.arange(before).expand(3, -1), torch.arange(after).expand(3, -1) + before + cells
    grid_rows, grid_columns = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    places = (
        torch.stack([torch.zeros(cells * cells).long(), grid_rows.flatten(), grid_columns.flatten()]) + before
    )
    positions = torch.cat([lead, places, tail], 1)[:, None].expand(3, batch, -1).contiguous().to(device)
    values = config.vision_config.temporal_patch_size * 3 * patch * patch
    pixels = torch.randn(batch * rows * rows, values, device=device, dtype=dtype, generator=generator)
    grid = torch.tensor([[1, rows, rows]] * batch, device=device)
    return Asked(ids, positions, pixels, grid, before + cells + after)


@dataclass(slots=True)
class Answered:
    """Seconds since the call: vision done, each of the batch's tokens there; and the tokens, (B, N)."""

    vision: float = 0.0
    times: list[float] = field(default_factory=list)
    tokens: list[torch.Tensor] = field(default_factory=list)


class Growing:
    """A KV cache that grows; attention "eager" or "sdpa"."""

    def __init__(self, model: Any, asked: Asked, tokens: int, attention: str) -> None:
        self._model, self._asked, self._tokens = model, asked, tokens
        model.set_attn_implementation(attention)

    @torch.inference_mode()
    def answer(self) -> Answered:
        """Prefill, then a step for each further token."""
        asked, model = self._asked, self._model
        batch = asked.ids.shape[0]
        later = torch.arange(asked.next_position, asked.next_position + self._tokens, device=asked.ids.device)
        with _clock(model) as clock:
            out = _prefill(model, asked)
            token = clock.take(_likeliest(out.logits))
            for step in range(self._tokens - 1):
                out = model(
                    input_ids=token,
                    position_ids=later[step].expand(3, batch, 1),
                    past_key_values=out.past_key_values,
                    use_cache=True,
                )
                token = clock.take(_likeliest(out.logits))
        return clock.answered


class Static:
    """A KV cache of fixed size; on a GPU, the decode step is captured once and replayed."""

    def __init__(self, model: Any, asked: Asked, tokens: int, compiled: bool = False) -> None:
        self._model, self._asked, self._tokens = model, asked, tokens
        model.set_attn_implementation("sdpa")
        batch, device = asked.ids.shape[0], asked.ids.device
        length = -(-(asked.prompt + tokens + 8) // 64) * 64  # room for the steps before the capture
        self._cache = StaticCache(config=model.config, max_cache_len=length)
        self._slots = torch.arange(length, device=device)
        self._slot = torch.zeros(1, dtype=torch.long, device=device)
        self._position = torch.zeros(3, batch, 1, dtype=torch.long, device=device)
        self._token = torch.zeros(batch, 1, dtype=torch.long, device=device)
        self._forward = torch.compile(self._decode) if compiled else self._decode
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def answer(self) -> Answered:
        """Prefill in the usual way; the graph for each further token."""
        if self._graph is None and self._slot.is_cuda:
            self._capture()
        with _clock(self._model) as clock:
            self._begin(clock.take)
            for _ in range(self._tokens - 1):
                if self._graph is None:
                    self._step()
                else:
                    self._graph.replay()
                clock.take(self._token)
        return clock.answered

    def _begin(self, take: Callable[[torch.Tensor], torch.Tensor]) -> None:
        asked = self._asked
        self._cache.reset()
        place = {"cache_position": self._slots[: asked.prompt]} if _TELLS_PLACE else {}
        out = _prefill(self._model, asked, past_key_values=self._cache, **place)
        self._token.copy_(take(_likeliest(out.logits)))
        self._slot.fill_(asked.prompt)
        self._position.fill_(asked.next_position)

    def _decode(self, token: torch.Tensor, position: torch.Tensor, slot: torch.Tensor) -> torch.Tensor:
        seen = (self._slots <= slot)[None, None, None]
        out = self._model(
            input_ids=token,
            position_ids=position,
            attention_mask={"full_attention": seen},
            past_key_values=self._cache,
            use_cache=True,
            **({"cache_position": slot} if _TELLS_PLACE else {}),
        )
        logits: torch.Tensor = out.logits
        return logits

    def _step(self) -> None:
        self._token.copy_(_likeliest(self._forward(self._token, self._position, self._slot)))
        self._position.add_(1)
        self._slot.add_(1)

    def _capture(self) -> None:
        self._begin(lambda token: token)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        self._graph = graph


WAYS: Mapping[str, Callable[[Any, Asked, int], Growing | Static]] = {
    "eager": lambda model, asked, tokens: Growing(model, asked, tokens, "eager"),
    "sdpa": lambda model, asked, tokens: Growing(model, asked, tokens, "sdpa"),
    "graph": Static,
    "compiled": lambda model, asked, tokens: Static(model, asked, tokens, compiled=True),
}


def _prefill(model: Any, asked: Asked, **cache: Any) -> Any:
    return model(
        input_ids=asked.ids,
        position_ids=asked.positions,
        pixel_values=asked.pixels,
        image_grid_thw=asked.grid,
        use_cache=True,
        logits_to_keep=1,
        **cache,
    )


def _likeliest(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, -1:].argmax(-1)


class _Clock:
    """Reads the time when the device has done all that it was given."""

    def __init__(self) -> None:
        self.answered = Answered()
        _synchronise()
        self._began = time.perf_counter()

    def take(self, token: torch.Tensor) -> torch.Tensor:
        """Notes when the batch's next tokens (B, 1) are there."""
        self.answered.times.append(self._read())
        self.answered.tokens.append(token.clone())
        return token

    def note_vision(self, *_: object) -> None:
        self.answered.vision = self._read()

    def _read(self) -> float:
        _synchronise()
        return time.perf_counter() - self._began


@contextlib.contextmanager
def _clock(model: Any) -> Iterator[_Clock]:
    clock = _Clock()
    hook = model.model.visual.register_forward_hook(clock.note_vision)
    try:
        yield clock
    finally:
        hook.remove()


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class EnergyCounter:
    """The driver's own, of the GPU that PyTorch uses, through NVML's library; it counts nothing where there is none."""

    def __init__(self, device: torch.device) -> None:
        self._card = ctypes.c_void_p()
        self._nvml: ctypes.CDLL | None = None
        if device.type != "cuda":
            return
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
        try:
            nvml = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return
        if nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByUUID(uuid, ctypes.byref(self._card)) == 0:
            self._nvml = nvml

    def joules(self) -> float | None:
        """Since the driver was loaded; None where the card does not count."""
        millijoules = ctypes.c_ulonglong()
        if self._nvml is None:
            return None
        status = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._card, ctypes.byref(millijoules))
        return millijoules.value / 1e3 if status == 0 else None


@dataclass(frozen=True, slots=True)
class Settings:
    """What is common to all points: 2 to 10 repeats, as many as `point_s` seconds allow, of answers of `tokens`."""

    device: torch.device
    dtype: torch.dtype
    tokens: int
    point_s: float

    @property
    def card(self) -> str:
        """As the driver names it."""
        return str(torch.cuda.get_device_name(self.device)) if self.device.type == "cuda" else "cpu"

    @property
    def limits(self) -> tuple[float, float] | None:
        """The data sheet's bytes/s and FLOP/s; None for a card that is not in the table."""
        return _CARDS.get(self.card.removeprefix("NVIDIA "))


def measure(model: Any, way: str, asked: Asked, settings: Settings) -> dict[str, Any]:
    """The figures of one point. Raises torch.OutOfMemoryError."""
    cuda, runs = settings.device.type == "cuda", list[Answered]()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    subject, counter = WAYS[way](model, asked, settings.tokens), EnergyCounter(settings.device)
    subject.answer()  # warm-up
    before, began = counter.joules(), time.perf_counter()
    while len(runs) < 2 or (len(runs) < 10 and time.perf_counter() - began < settings.point_s):
        runs.append(subject.answer())
    after, elapsed = counter.joules(), time.perf_counter() - began
    joules = None if before is None or after is None else after - before
    return {
        "repeats": len(runs),
        **figures(Size.of(model), asked, runs, settings.limits),
        "power_w": None if joules is None else round(joules / elapsed, 1),
        "joules_per_answer": None if joules is None else round(joules / len(runs) / asked.ids.shape[0], 3),
        "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if cuda else None,
    }


def figures(
    size: Size, asked: Asked, runs: list[Answered], limits: tuple[float, float] | None
) -> dict[str, Any]:
    """Times as medians with least and most; rates and shares of the medians."""
    batch, tokens = asked.ids.shape[0], len(runs[0].times)
    steps = [after - before for run in runs for before, after in itertools.pairwise(run.times)]
    itl, first = statistics.median(steps), statistics.median(run.times[0] for run in runs)
    whole = statistics.median(run.times[-1] for run in runs)
    context = asked.prompt + tokens / 2
    shares: dict[str, float | None] = {"first_share": None, "decode_share": None}
    if limits:
        bandwidth, arithmetic = limits
        least = max(size.step_bytes(batch, context) / bandwidth, batch * size.step_flop(context) / arithmetic)
        flop = batch * size.first_flop(asked.patches, asked.prompt)
        shares = {"first_share": round(flop / arithmetic / first, 4), "decode_share": round(least / itl, 4)}
    return {
        "ttft_ms": _spread([run.times[0] for run in runs]),
        "vision_ms": _spread([run.vision for run in runs]),
        "prefill_ms": _spread([run.times[0] - run.vision for run in runs]),
        "itl_ms": _spread(steps),
        "decode_tokens_per_s": round(batch / itl, 1),
        "tokens_per_s": round(batch * tokens / whole, 1),
        **shares,
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(seconds), "least": min(seconds), "most": max(seconds)}
    return {name: round(1e3 * value, 4) for name, value in found.items()}


Point = tuple[str, int, int, str]  # model, image's side, batch, way
Keep = Callable[[dict[str, Any]], None]


def run(points: list[Point], settings: Settings, budget_s: float, keep: Keep) -> dict[str, Any]:
    """All points, or those for which the time was enough; `keep` gets the document after each."""
    began, name, model = time.perf_counter(), "", None
    models = list(dict.fromkeys(model for model, *_ in points))
    document = {**describe(settings), "models": models, "planned": len(points), "complete": False}
    document |= {"seconds": 0.0, "points": []}
    full: set[tuple[str, int, str]] = set()
    try:
        for wanted, side, batch, way in points:
            if time.perf_counter() - began > budget_s:
                return document
            _free()
            if wanted != name:
                name, model = wanted, None
                _free()
                model = _load(wanted, settings)
            found = {"error": "not tried: a smaller batch was out of memory"}
            if (wanted, side, way) not in full:
                found = _attempt(model, way, side, batch, settings)
            if found.get("error") == "out of memory":
                full.add((wanted, side, way))
            document["points"].append({"model": wanted, "side": side, "batch": batch, "way": way, **found})
            document["seconds"] = round(time.perf_counter() - began, 1)
            keep(document)
        document["complete"] = True
    except KeyboardInterrupt:
        print("interrupted; what was measured is kept", file=sys.stderr)
    return document


def _load(name: str, settings: Settings) -> Any:
    """None where even the weights do not fit."""
    try:
        return make_model(make_config(name), settings.device, settings.dtype)
    except torch.OutOfMemoryError:
        return None


def _attempt(model: Any, way: str, side: int, batch: int, settings: Settings) -> dict[str, Any]:
    if model is None:
        return {"error": "out of memory"}
    try:
        asked = make_question(model.config, side, batch, settings.device, settings.dtype)
        found = {"prompt_tokens": asked.prompt, "answer_tokens": settings.tokens}
        return found | measure(model, way, asked, settings)
    except torch.OutOfMemoryError:
        return {"error": "out of memory"}
    except Exception as error:  # a way that breaks on this machine is not to cost the others
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def describe(settings: Settings) -> dict[str, Any]:
    """Device, versions and settings."""
    return {
        "tool": "benchmarks/gpu.py",
        "when": time.strftime("%Y-%m-%d"),
        "device": settings.card,
        "data_sheet": settings.limits
        and dict(zip(("bytes_per_s", "flop_per_s"), settings.limits, strict=True)),
        "dtype": str(settings.dtype).removeprefix("torch."),
        "weights": "random",
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "cuda": torch.version.cuda,
        },
    }


_COLUMNS = (
    "TTFT, ms",
    "ITL, ms",
    "tokens/s decoding",
    "tokens/s",
    "W",
    "GB",
    "first token's share",
    "decode's",
)


def markdown(document: Mapping[str, Any]) -> str:
    """A row a point."""
    versions = document["versions"]
    lines = [
        f"{document['device']}, PyTorch {versions['torch']}, transformers {versions['transformers']}, "
        f"{document['dtype']}, random weights; medians; shares of the data sheet's limit\n",
        "| model | image | batch | way | " + " | ".join(_COLUMNS) + " |",
        "| --- | --- | ---: | --- |" + " ---: |" * len(_COLUMNS),
    ]
    for one in document["points"]:
        cells = [one["model"], f"{one['side']}²", str(one["batch"]), one["way"], *_cells(one)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cells(point: Mapping[str, Any]) -> list[str]:
    if "error" in point:
        return [point["error"], *["–"] * (len(_COLUMNS) - 1)]
    values = (
        (point["ttft_ms"]["median"], ".1f"),
        (point["itl_ms"]["median"], ".2f"),
        (point["decode_tokens_per_s"], ",.0f"),
        (point["tokens_per_s"], ",.0f"),
        (point["power_w"], ".0f"),
        (point["peak_memory_gb"], ".1f"),
        (point["first_share"], ".0%"),
        (point["decode_share"], ".0%"),
    )
    return ["–" if value is None else format(value, form) for value, form in values]


def keep_in(folder: Path | None, document: Mapping[str, Any]) -> None:
    """Show the last point; write `gpu-DEVICE-MODELS.json` and `.md`, each whole at any time."""
    if document["points"]:
        print(markdown(document).splitlines()[-1], flush=True)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(["gpu", document["device"], *document["models"]]).lower())
    for ending, text in (("json", json.dumps(document, indent=1) + "\n"), ("md", markdown(document))):
        unfinished = folder / f".{name}.partial"
        unfinished.write_text(text, "utf-8")
        unfinished.replace(folder / f"{name}.{ending}")


def make_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(description="PyTorch on one GPU: Qwen2.5-VL at its true size.")
    add = parser.add_argument
    add("--models", nargs="+", choices=("3b", "7b"), default=["3b", "7b"])
    add("--sides", type=int, nargs="+", default=[448, 896], metavar="PIXELS", help="multiples of 28")
    add("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], metavar="N")
    add("--ways", nargs="+", choices=tuple(WAYS), default=["eager", "sdpa", "graph"])
    add("--tokens", type=int, default=64, help="length of an answer, 2 at least (default: 64)")
    add("--point-s", type=float, default=4.0, help="repeat a point for so long, 2 to 10 times (default: 4)")
    add("--budget-s", type=float, default=math.inf, help="begin no further point after so many seconds")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    add("--tiny", action="store_true", help="a miniature at small sizes, to try the script itself")
    add("--out", type=Path, metavar="DIR", help="folder for the document and the table")
    return parser


def main() -> None:
    given = make_parser().parse_args()
    if given.tiny:
        given.models, given.sides, given.batches, given.point_s = ["tiny"], [56, 112], [1, 2], 0.0
    settings = Settings(torch.device(given.device), getattr(torch, given.dtype), given.tokens, given.point_s)
    points = list(itertools.product(given.models, given.sides, given.batches, given.ways))
    document = run(points, settings, given.budget_s, partial(keep_in, given.out))
    keep_in(given.out, document)
    print(f"\n{markdown(document)}\n{json.dumps(document)}")


if __name__ == "__main__":
    main()
