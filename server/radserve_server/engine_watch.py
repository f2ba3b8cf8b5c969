"""Asks the engine again and again whether it is there, and knows what it last said of itself."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from radserve_imaging import ImagePolicy, ImagingError
from radserve_server.backend import Backend, EngineDescription
from radserve_server.errors import EngineUnavailable, NotFound

_UNGATED = "it has not passed its gate (status: {}); RADSERVE_ALLOW_UNGATED=1 serves it all the same"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as the gateway works with it; `since` is when it was first seen, in Unix seconds."""

    description: EngineDescription
    policy: ImagePolicy
    policy_digest: str
    since: int

    @property
    def name(self) -> str:
        """The model's name in requests."""
        return self.description.name

    @property
    def gate(self) -> str:
        """The status of the engine's gate, "missing" if its manifest has none."""
        gate = self.description.manifest.get("gate")
        return str(gate.get("status", "missing")) if isinstance(gate, dict) else "missing"


class EngineWatch:
    """`probe` every `interval_s`; not to answer within `deadline_s` is not to be there."""

    def __init__(
        self, backend: Backend, interval_s: float, deadline_s: float, *, allow_ungated: bool = False
    ) -> None:
        self._backend = backend
        self._allow_ungated = allow_ungated
        self._interval_s = interval_s
        self._deadline_s = deadline_s
        self.engine: Engine | None = None
        self.trouble: str | None = "the engine was not asked yet"

    @property
    def ready(self) -> bool:
        """Whether the engine answered when last asked, and no stream failed since."""
        return self.trouble is None

    def require(self, model: str | None = None) -> Engine:
        """The engine, if it is there and goes by that name; raises EngineUnavailable or NotFound."""
        if self.trouble is not None or self.engine is None:
            raise EngineUnavailable(f"the engine is not ready: {self.trouble}")
        if model is not None and model != self.engine.name:
            message = f"there is no model {model[:200]!r}; GET /v1/models lists {self.engine.name!r}"
            raise NotFound(message, code="model_not_found", param="model")
        return self.engine

    def fail(self, reason: str) -> None:
        """A stream failed: not ready until the engine answers again."""
        self.trouble = reason

    async def run(self) -> None:
        """Probe for ever."""
        while True:
            await self.probe()
            await asyncio.sleep(self._interval_s)

    async def probe(self) -> None:
        """Ask once."""
        before = self.trouble
        try:
            async with asyncio.timeout(self._deadline_s):
                description = await self._backend.describe()
            self._adopt(description)
        except TimeoutError:
            self.trouble = f"no answer within {self._deadline_s:g} s"
        except EngineUnavailable as error:
            self.trouble = error.message
        except ImagingError as error:
            self.trouble = f"its image policy cannot be used: {error}"
        if self.trouble != before:
            _LOG.warning("engine not ready: %s", self.trouble) if self.trouble else _LOG.info("engine ready")

    def _adopt(self, description: EngineDescription) -> None:
        """Take up what the engine says of itself; one that has not passed its gate is not served."""
        known = self.engine
        if known is not None and _is_same(known.description, description):
            policy, policy_digest, since = known.policy, known.policy_digest, known.since
        else:
            policy = ImagePolicy.from_json(_policy(description))
            policy_digest, since = policy.digest(), int(time.time())
        self.engine = Engine(description, policy, policy_digest, since)
        gated = self.engine.gate == "passed" or self._allow_ungated
        self.trouble = None if gated else _UNGATED.format(self.engine.gate)


def _is_same(known: EngineDescription, told: EngineDescription) -> bool:
    return known.digest == told.digest and known.manifest == told.manifest


def _policy(description: EngineDescription) -> dict[str, Any]:
    policy = description.manifest.get("image_policy")
    if not isinstance(policy, dict):
        raise EngineUnavailable("the engine's manifest has no image_policy")
    return policy
