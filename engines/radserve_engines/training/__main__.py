"""Train the demo checkpoint from random weights: `python -m radserve_engines.training --help`.

First the vision tower alone learns to tell modality, plane and organ, then the whole model learns to
answer. Both schedules run on time, not on steps: learning rate and the share of image tokens follow the
minutes spent, so a slow machine gives a worse model and not a later one. A run that was stopped goes on
from the last saved state. A GPU is used if there is one. `--start CHECKPOINT` leaves the warm-up out and goes
on from another run's weights.
"""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from radserve_engines.demo_checkpoint import IMAGE_SIDE, load_checkpoint, make_model
from radserve_engines.provenance import describe_machine, list_versions
from radserve_engines.training.answers import AnswerTraining, Recipe, make_tokenizer
from radserve_engines.training.labels import Labels
from radserve_engines.training.vision import VisionTraining, WarmUp
from radserve_engines.vqa_data import SETS, digest_file, load_training_questions, render_images


def write_record(path: Path, data: Path, warm_up: WarmUp | None, training: AnswerTraining) -> None:
    """Say what the checkpoint was made from, how, when and on what: for its model card."""
    files = [f"{name}/{split}.jsonl" for name in SETS for split in ("train", "validate")]
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": training.step,
        "minutes": round(training.spent_s / 60, 1),
        "warm_up": asdict(warm_up) if warm_up else None,
        "recipe": asdict(training.recipe),
        "data_sha256": {name: digest_file(data / name) for name in files},
        "device": training.device.type,
        "machine": describe_machine(),
        "versions": list_versions(),
    }
    path.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def main() -> None:
    """Parse the command line and train."""
    recipe, warm_up = Recipe(), WarmUp()  # the defaults
    parser = argparse.ArgumentParser(prog="radserve_engines.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the question sets")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the rendered images")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint/ and the states")
    parser.add_argument("--minutes", type=float, default=recipe.minutes)
    parser.add_argument("--warm-up-minutes", type=float, default=warm_up.minutes)
    parser.add_argument(
        "--start", type=Path, metavar="CHECKPOINT", help="weights and tokenizer to begin with"
    )
    parser.add_argument("--peak-rate", type=float, default=recipe.peak_rate)
    parser.add_argument("--eager", action="store_true", help="half as fast, but needs no C++ compiler")
    parser.add_argument("--seed", type=int, default=recipe.seed)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    questions = load_training_questions(given.data)
    images = render_images(given.data, (item.image for item in questions), given.cache, IMAGE_SIDE)
    compiled, warmed = not given.eager, None
    if given.start is not None:
        model, tokenizer = load_checkpoint(given.start)
        model.train()
    else:
        tokenizer = make_tokenizer(questions)
        model = make_model(tokenizer, given.seed)
        warmed = WarmUp(minutes=given.warm_up_minutes, seed=given.seed)
        VisionTraining(
            warmed, model.model.visual, Labels(questions), images, given.out, compiled=compiled
        ).run()
    recipe = Recipe(minutes=given.minutes, seed=given.seed, peak_rate=given.peak_rate)
    training = AnswerTraining(recipe, model, tokenizer, questions, images, given.out, compiled=compiled)
    training.run()
    write_record(given.out / "training.json", given.data, warmed, training)


if __name__ == "__main__":
    main()
