"""What a quantized engine's ranges are measured on: medical questions, images rendered by the engine's own policy."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from radserve_engines.errors import BuildFailed
from radserve_engines.families import Family
from radserve_engines.generation import Generation, Sampling
from radserve_engines.manifest import EngineManifest
from radserve_engines.prompt import PromptTemplate
from radserve_engines.vqa_data import Question
from radserve_imaging import ImagePolicy, ImagingError, render

Note = Callable[[int, int], None]


def choose_samples(
    questions: Sequence[Question], policy: ImagePolicy, count: int = 128, seed: int = 0
) -> list[Generation]:
    """`count` of the questions, on as many different images as there are, modalities in turn.

    Raises BuildFailed naming an image that cannot be rendered.
    """
    return [_sample(item, policy) for item in _spread(questions, count, seed)]


def list_inputs(
    folder: Path, family: Family, samples: Sequence[Generation]
) -> Callable[[int], dict[str, Any]]:
    """A function from a sample's place to the model's inputs, made when they are wanted."""
    from radserve_engines.families.model_inputs import ModelInputs

    most = max((len(sample.images) for sample in samples), default=1)
    manifest = EngineManifest(
        name="calibration",
        target="torch",
        precision="bf16",
        family=family.name,
        context_length=1 << 30,
        image_policy=ImagePolicy(max_images=max(most, 1)),
        decoding=Sampling(),
        intended_use="",
        checkpoint_sha256="",
        files={},
    )
    template, inputs = PromptTemplate(folder, manifest), ModelInputs(folder)

    def make(place: int) -> dict[str, Any]:
        sample = samples[place]
        return inputs.encode(template.render(sample.messages, sample.images).text, sample.images)

    return make


def run_samples(model: Any, make: Callable[[int], dict[str, Any]], total: int, note: Note) -> None:
    """One forward pass each, in evaluation mode; `note` hears how many of how many are done."""
    import torch

    from radserve_engines.checkpoints.probe import with_decoder

    with torch.inference_mode():
        for place in range(total):
            model(**with_decoder(model, make(place)), use_cache=False)
            note(place + 1, total)


def _spread(questions: Sequence[Question], count: int, seed: int) -> list[Question]:
    """Shuffled; the first question of every image before any second, and modalities in turn within that."""
    shuffled = random.Random(seed).sample(list(questions), len(questions))
    images: dict[str, int] = {}
    modalities: dict[tuple[int, str | None], int] = {}
    ranked: list[tuple[int, int, int, Question]] = []
    for item in shuffled:
        turn = images[item.image] = images.get(item.image, -1) + 1
        key = (turn, item.modality)
        modalities[key] = modalities.get(key, -1) + 1
        ranked.append((turn, modalities[key], len(ranked), item))
    return [item for *_, item in sorted(ranked, key=lambda one: one[:3])[:count]]


def _sample(item: Question, policy: ImagePolicy) -> Generation:
    try:
        pixels = render(Path(item.image).read_bytes(), policy).pixels
    except (OSError, ImagingError) as error:
        raise BuildFailed(
            f"calibration question {item.id}: {item.image} cannot be rendered: {error}"
        ) from error
    parts = [{"type": "image"}, {"type": "text", "text": item.question}]
    return Generation(({"role": "user", "content": parts},), (pixels,), Sampling())
