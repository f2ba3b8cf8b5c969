"""Prometheus metrics, with vLLM's names and buckets under our prefix; no label holds anything of a patient."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from radserve_server.errors import GatewayError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0)
_ITL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_LATENCY = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0)
_SHARE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_WORK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


class Metrics:
    """One app's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.first_token_seconds = self._histogram("time_to_first_token_seconds", "request to token", _TTFT)
        self.inter_token_seconds = self._histogram("inter_token_latency_seconds", "token to token", _ITL)
        self.e2e_seconds = self._histogram(
            "e2e_request_latency_seconds", "request to end of answer", _LATENCY
        )
        self.queue_seconds = self._histogram(
            "request_queue_time_seconds", "wait for a place in the gateway and the engine", _LATENCY
        )
        self.render_seconds = self._histogram(
            "image_render_seconds", "decoding and rendering an image", _WORK
        )
        self.render_queue_seconds = self._histogram(
            "image_render_queue_seconds", "wait for a decoding worker", _WORK
        )
        self.decode_seconds = self._histogram("image_decode_seconds", "decoding an image: the codec", _WORK)
        self.fetch_seconds = self._histogram(
            "image_fetch_seconds", "getting a question's images from where they lie", _WORK
        )
        self.body_seconds = self._histogram("request_body_seconds", "arrival of a request's body", _WORK)
        self.prompt_tokens = self._counter("prompt_tokens", "tokens of questions, image tokens included")
        self.generation_tokens = self._counter("generation_tokens", "tokens of answers")
        self.success = self._counter("request_success", "finished answers", "finished_reason")
        self.confidence = self._histogram("answer_confidence", "calibrated confidence of answers", _SHARE)
        self.abstentions = self._counter(
            "abstentions", "answers below the confidence threshold", "question_type"
        )
        self.failures = self._counter("request_failures", "questions without an answer", "code")
        self.running = self._gauge("num_requests_running", "questions being answered")
        self.waiting = self._gauge("num_requests_waiting", "questions waiting for a place")
        self.images_waiting = self._gauge("num_images_waiting", "images waiting for a decoding worker")
        self.ready = self._gauge("engine_ready", "1 while the engine answers")
        self.store_bytes = self._gauge("image_store_bytes", "bytes of uploaded images kept")
        self._add_archives_and_intake()

    def _add_archives_and_intake(self) -> None:
        self.archive_requests = self._counter(
            "archive_requests", "requests to a PACS, and what became of them", "pacs", "outcome"
        )
        self.archive_bytes = self._counter("archive_bytes", "bytes that came from a PACS", "pacs")
        self.intake_associations = self._counter(
            "intake_associations", "associations that peers asked for", "outcome"
        )
        self.intake_instances = self._counter("intake_instances", "instances pushed here", "outcome")
        self.intake_bytes = self._gauge("intake_bytes", "bytes of pushed instances kept")
        self.standing_questions = self._counter("standing_questions", "standing questions", "outcome")
        self.standing_waiting = self._gauge("standing_questions_waiting", "standing questions not asked yet")

    def note_failure(self, error: GatewayError) -> None:
        """Count a request that got an error, or nobody to give an answer to."""
        self.failures.labels(error.code).inc()

    def note_confidence(self, judged: Mapping[str, Any]) -> None:
        """Count what the engine judged of an answer; nothing if it could not."""
        if judged.get("confidence") is None:
            return
        self.confidence.observe(judged["confidence"])
        if judged["abstained"]:
            self.abstentions.labels(judged["question_type"]).inc()

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"radserve_{name}", text, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"radserve_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"radserve_{name}", text, registry=self.registry)
