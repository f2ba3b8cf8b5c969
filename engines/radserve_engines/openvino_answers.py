"""Greedy answers of an OpenVINO engine through continuous batching, for scores and agreement."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radserve_engines.tokenizer import render_question
from radserve_engines.vqa_data import ImageCache, Question


class EngineAnswerer:
    """Answers questions with the engine in `folder`, several at once."""

    def __init__(self, folder: Path, images: ImageCache, precision: str, max_tokens: int = 32) -> None:
        import openvino_genai
        from transformers import AutoTokenizer

        self._genai = openvino_genai
        self._images = images
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = 1
        properties = {"INFERENCE_PRECISION_HINT": precision}
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", properties)
        self._config = openvino_genai.GenerationConfig()
        self._config.apply_chat_template = False
        self._config.do_sample = False
        self._config.max_new_tokens = max_tokens
        self._config.set_eos_token_id(self._tokenizer.eos_token_id)

    def answer(self, questions: Sequence[Question], batch: int = 8) -> list[str]:
        """One answer a question, `batch` of them in flight together."""
        answers: list[str] = []
        for first in range(0, len(questions), batch):
            handles = [self._ask(i, item) for i, item in enumerate(questions[first : first + batch])]
            while self._pipeline.has_non_finished_requests():
                self._pipeline.step()
            answers += [self._read(handle) for handle in handles]
        return answers

    def _ask(self, number: int, item: Question) -> Any:
        import openvino

        image = openvino.Tensor(self._images[item.image][None].copy())
        prompt = render_question(self._tokenizer, item.question)
        return self._pipeline.add_request(number, prompt, [image], self._config)

    def _read(self, handle: Any) -> str:
        tokens = [token for output in handle.read_all() for token in output.generated_ids]
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text
