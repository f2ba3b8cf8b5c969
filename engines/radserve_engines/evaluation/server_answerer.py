"""Answers over HTTP: a radserve server, or whatever else speaks OpenAI's chat completions."""

import asyncio
import base64
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation.asking import Ask, Identity, Outcome
from radserve_engines.evaluation.pictures import read_image
from radserve_imaging import ImagingError, sniff

_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
_LONGEST_PAUSE_S = 30.0
_PATIENCE_S = 300.0
_LATER = (429, 502, 503, 504)
_DETAILS = ("target", "precision", "gate", "policy_sha256")


class ServerAnswerer:
    """Greedy, with log-probabilities where the endpoint gives them; a server that is gone is tried again for 15 s."""

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        max_tokens: int | None = None,
        pauses_s: tuple[float, ...] = _PAUSES_S,
    ) -> None:
        self._location = url
        self._model = model
        self._max_tokens = max_tokens
        self._pauses_s = pauses_s
        self._logprobs = True
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        base = url.rstrip("/").removesuffix("/v1") + "/v1"
        timeout = httpx.Timeout(10.0, read=_PATIENCE_S)
        try:
            self._http = httpx.AsyncClient(base_url=base, headers=headers, timeout=timeout)
        except httpx.InvalidURL as error:
            raise EvaluationError(f"{url} is not an address: {error}") from error

    async def identify(self) -> Identity:
        """By GET /models; an endpoint without that is known by the model's name alone.

        Raises EvaluationError for a key that is refused, and for a model that is not offered.
        """
        response = await self._send("GET", "/models", pauses_s=self._pauses_s[:2])
        if response.status_code in (401, 403):
            raise EvaluationError(f"{self._location} refuses the API key: {_tell(response)}")
        found = _models(response)
        self._model = self._choose(found, response)
        row = next((row for row in found or () if row["id"] == self._model), {})
        clinical = _object(row.get("clinical"))
        details = {name: clinical[name] for name in _DETAILS if name in clinical}
        fitted = _object(_object(clinical.get("confidence")).get("fitted")).get("sets") or ()
        details["calibrated_on"] = [digest for one in fitted if (digest := _object(one).get("sha256"))]
        return Identity(self._location, self._model, clinical.get("digest"), details, served=True)

    def _choose(self, found: list[dict[str, Any]] | None, response: httpx.Response) -> str:
        if found is None:
            if self._model is None:
                raise EvaluationError(f"{self._location}: {_tell(response)}; name the model with --model")
            return self._model
        names = [str(row["id"]) for row in found]
        if self._model is None and len(names) == 1:
            return names[0]
        if self._model is None or (names and self._model not in names):
            raise EvaluationError(
                f"{self._location} offers these models: {', '.join(names) or 'none'}; choose with --model"
            )
        return self._model

    async def answer(self, ask: Ask) -> Outcome:
        """An error status is an outcome with an error. Raises EvaluationError when the server is gone."""
        began = time.perf_counter()
        try:
            image = await asyncio.to_thread(read_image, ask)
            body = self._body(ask.item.question, image)
        except (ImagingError, OSError) as error:
            return Outcome(error=f"{Path(ask.image).name}: {error}", seconds=time.perf_counter() - began)
        try:
            response = await self._complete(body)
        except httpx.ReadTimeout:
            return Outcome(error=f"no answer within {_PATIENCE_S:g} s", seconds=time.perf_counter() - began)
        seconds = time.perf_counter() - began
        if response.is_error:
            return Outcome(error=_tell(response), seconds=seconds)
        return _read(response, seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _complete(self, body: dict[str, Any]) -> httpx.Response:
        response = await self._send("POST", "/chat/completions", body)
        if self._refuses_logprobs(response):
            self._logprobs = False
        if "logprobs" in body and not self._logprobs:
            del body["logprobs"]
            response = await self._send("POST", "/chat/completions", body)
        return response

    def _body(self, question: str, image: bytes) -> dict[str, Any]:
        uri = f"data:{sniff(image)};base64,{base64.b64encode(image).decode()}"
        parts = [{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": question}]
        body = {"model": self._model, "messages": [{"role": "user", "content": parts}], "temperature": 0}
        limit = {} if self._max_tokens is None else {"max_tokens": self._max_tokens}
        return {**body, **limit, **({"logprobs": True} if self._logprobs else {})}

    def _refuses_logprobs(self, response: httpx.Response) -> bool:
        return self._logprobs and response.status_code in (400, 422) and "logprobs" in response.text

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        pauses_s: tuple[float, ...] | None = None,
    ) -> httpx.Response:
        """Again after a pause while nobody answers or the server is busy. Raises EvaluationError after the last."""
        pauses_s = self._pauses_s if pauses_s is None else pauses_s
        for pause in (*pauses_s, None):
            try:
                response = await self._http.request(method, path, json=body)
                trouble = _tell(response)
                if response.status_code not in _LATER:
                    return response
                pause = pause and _asked_pause(response, pause)
            except httpx.ReadTimeout:
                raise
            except httpx.TransportError as error:
                trouble = str(error) or type(error).__name__
            if pause is not None:
                await asyncio.sleep(pause)
        tries = len(pauses_s) + 1
        raise EvaluationError(f"{self._location} does not answer, tried {tries} times: {trouble}")


def _models(response: httpx.Response) -> list[dict[str, Any]] | None:
    """What the endpoint offers; None where it does not say, as OpenAI's shape has it."""
    try:
        rows = response.json()["data"] if response.is_success else None
        return rows if rows is None or all(isinstance(row["id"], str) for row in rows) else None
    except (ValueError, KeyError, TypeError):
        return None


def _asked_pause(response: httpx.Response, pause: float) -> float:
    wish = response.headers.get("retry-after", "")
    return min(float(wish), _LONGEST_PAUSE_S) if wish.isdecimal() else pause


def _tell(response: httpx.Response) -> str:
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text[:200]
    return f"HTTP {response.status_code}: {message}"


def _read(response: httpx.Response, seconds: float) -> Outcome:
    """Raises nothing: what is no chat completion is an outcome with an error."""
    try:
        body = response.json()
        choice = body["choices"][0]
        text = choice["message"]["content"] or ""
        if not isinstance(text, str):
            raise TypeError
        entries = (choice.get("logprobs") or {}).get("content") or []
        logprobs = [float(entry["logprob"]) for entry in entries]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Outcome(error=f"not a chat completion: {response.text[:200]}", seconds=seconds)
    clinical = _object(body.get("clinical"))
    confidence, abstained = clinical.get("confidence"), clinical.get("abstained")
    tokens = _object(body.get("usage")).get("completion_tokens")
    sure = isinstance(confidence, int | float) and not isinstance(confidence, bool) and 0 <= confidence <= 1
    return Outcome(
        text=text.strip(),
        logprob=math.fsum(logprobs) if logprobs else None,
        tokens=tokens if isinstance(tokens, int) else None,
        confidence=confidence if sure else None,
        abstained=abstained if isinstance(abstained, bool) else None,
        finish_reason=clinical.get("finish_reason") or choice.get("finish_reason"),
        seconds=seconds,
    )


def _object(value: Any) -> Mapping[str, Any]:
    """A foreign endpoint may say anything: what is no object says nothing."""
    return value if isinstance(value, Mapping) else {}
