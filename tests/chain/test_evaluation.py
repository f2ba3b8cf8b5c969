"""The same engine, judged in this process and through gateway and Triton, gives the same answers."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from radserve_engines.assets import demo_engine
from radserve_engines.evaluation import Settings, collect_answers, compare, load_sets, open_target

QUESTIONS = ("What modality is used to take this image?", "Which organ is shown?", "Is this a CT?")


def write_questions(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for place in range(4):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (60, 40 + 30 * place, 3), np.uint8)).resize((200, 160)).save(
            out, "PNG"
        )
        (folder / f"{place}.png").write_bytes(out.getvalue())
        for question in QUESTIONS:
            row = {"id": f"{place} {question}", "image": f"{place}.png", "question": question, "answer": "ct"}
            rows.append({**row, "answer_type": "open"})
    path = folder / "made.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_answers_and_their_probabilities_are_the_same_through_the_whole_server(
    chain: Any, tmp_path: Path
) -> None:
    sets = load_sets([write_questions(tmp_path)])
    settings = Settings(max_tokens=16)
    here = collect_answers(open_target(str(demo_engine()), max_tokens=16), sets, tmp_path / "here", settings)
    there = collect_answers(open_target(chain.url, max_tokens=16), sets, tmp_path / "there", settings)
    assert here.identity.digest == there.identity.digest
    outcomes = {one.ask.key: one.outcome for one in there.judged}
    found = compare(here.judged, outcomes, there.identity.to_json(), 0)
    assert found.questions == 36
    assert found.flipped is not None and found.flipped.value == 0
    for one in here.judged:
        other = outcomes[one.ask.key]
        assert one.outcome.logprob is not None and other.logprob is not None
        assert math.isclose(one.outcome.logprob, other.logprob, abs_tol=1e-3)
        assert one.outcome.tokens == other.tokens
