"""Score a checkpoint on the validate splits: `python -m radserve_engines.checkpoint_scores --help`.

Prints one JSON document: the checkpoint's exact match, the same with every image swapped for
another of its set, the question-only baseline and, with `--engine`, an engine beside it.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from radserve_engines.demo_checkpoint import GRID, IMAGE_SIDE, IMAGE_TOKENS, load_checkpoint
from radserve_engines.openvino_answers import EngineAnswerer
from radserve_engines.tokenizer import render_question
from radserve_engines.vision_tower import normalise_pixels, patchify
from radserve_engines.vqa_data import (
    ImageCache,
    Question,
    load_questions,
    load_training_questions,
    render_images,
)
from radserve_engines.vqa_scores import (
    guess_from_questions,
    measure_agreement,
    score_answers,
    swap_images,
)


class CheckpointAnswerer:
    """Greedy answers of a checkpoint by `transformers.generate`, in batches."""

    def __init__(self, checkpoint: Path, images: ImageCache, max_tokens: int = 32) -> None:
        self._model, self._tokenizer = load_checkpoint(checkpoint)
        self._tokenizer.padding_side = "left"
        self._images = images
        self._max_tokens = max_tokens

    def answer(self, questions: Sequence[Question], batch: int = 32) -> list[str]:
        """One answer a question; questions of like length run together."""
        order = sorted(range(len(questions)), key=lambda index: len(questions[index].question))
        answers = [""] * len(questions)
        for first in range(0, len(order), batch):
            chosen = order[first : first + batch]
            texts = self._answer_batch([questions[index] for index in chosen])
            for index, text in zip(chosen, texts, strict=True):
                answers[index] = text
        return answers

    def _answer_batch(self, questions: Sequence[Question]) -> list[str]:
        prompts = [self._prompt(item) for item in questions]
        inputs = self._tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        pixels = torch.from_numpy(self._images.stack(item.image for item in questions))
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs,
                pixel_values=patchify(normalise_pixels(pixels)).flatten(0, 2),
                image_grid_thw=torch.tensor([[1, GRID, GRID]] * len(questions)),
                max_new_tokens=self._max_tokens,
                do_sample=False,
            )
        answers = tokens[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        return texts

    def _prompt(self, item: Question) -> str:
        prompt = render_question(self._tokenizer, item.question)
        return prompt.replace("<|image_pad|>", "<|image_pad|>" * IMAGE_TOKENS)


def score_checkpoint(
    checkpoint: Path, data: Path, cache: Path, engine: Path | None = None, precision: str = "f32"
) -> dict[str, Any]:
    """Scores on the validate splits, and how often `engine` gives the checkpoint's very answer."""
    questions = load_questions(data, "validate")
    images = render_images(data, (item.image for item in questions), cache, IMAGE_SIDE)
    answerer = CheckpointAnswerer(checkpoint, images)
    answers = {
        "checkpoint": answerer.answer(questions),
        "images swapped": answerer.answer(swap_images(questions)),
        "question only": guess_from_questions(load_training_questions(data), questions),
    }
    report: dict[str, Any] = {}
    if engine is not None:
        answers["engine"] = EngineAnswerer(engine, images, precision).answer(questions)
        report["agreement"] = measure_agreement(answers["checkpoint"], answers["engine"])
    for name, given in answers.items():
        scores = score_answers(questions, given)
        report[name] = {source: asdict(score) for source, score in scores.items()}
    return report


def main() -> None:
    """Parse the command line and print the scores."""
    parser = argparse.ArgumentParser(prog="radserve_engines.checkpoint_scores", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--engine", type=Path, help="OpenVINO engine of the checkpoint, to compare with it")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="of the engine's sums")
    parser.add_argument("--data", type=Path, required=True, help="folder of the question sets")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the rendered images")
    given = parser.parse_args()
    report = score_checkpoint(given.checkpoint, given.data, given.cache, given.engine, given.precision)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
