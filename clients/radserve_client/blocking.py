"""The same client for programs without an event loop."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from radserve_client.client import DEFAULT_URL, Answer, AsyncClient, Image, Rendered, SortedSeries


class Client:
    """Blocking calls over one AsyncClient, on an event loop of its own; use it from one thread."""

    def __init__(self, url: str = DEFAULT_URL, *, api_key: str | None = None) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(url, api_key=api_key)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and the loop."""
        self._runner.run(self._client.close())
        self._runner.close()

    def upload(self, image: Image) -> str:
        """See AsyncClient.upload."""
        return self._runner.run(self._client.upload(image))

    def ask(self, images: Sequence[Image], question: str, **options: Any) -> Answer:
        """See AsyncClient.ask."""
        return self._runner.run(self._client.ask(images, question, **options))

    def sort_series(self, image_ids: Sequence[str]) -> SortedSeries:
        """See AsyncClient.sort_series."""
        return self._runner.run(self._client.sort_series(image_ids))

    def render(self, image: Image, **options: Any) -> list[Rendered]:
        """See AsyncClient.render."""
        return self._runner.run(self._client.render(image, **options))

    def models(self) -> list[Mapping[str, Any]]:
        """See AsyncClient.models."""
        return self._runner.run(self._client.models())

    def ready(self) -> bool:
        """See AsyncClient.ready."""
        return self._runner.run(self._client.ready())
