"""Files and folders to what a question is about: a file is an image, a folder holds series."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from radserve_client.client import AsyncClient, Series, SortedSeries
from radserve_client.errors import InvalidRequest, RadserveError

_AT_ONCE = 4


async def gather(
    client: AsyncClient, paths: Sequence[Path], number: int, say: Callable[[str], None]
) -> tuple[list[str], list[str]]:
    """Upload everything: the image ids of the files, and the id of series `number` (from 1) of each folder."""
    image_ids, series_ids = [], []
    for path in paths:
        if not path.is_dir():
            image_ids.append(await client.upload(path))
            continue
        found = await upload_folder(client, path, say)
        series_ids.append(_choose(found.series, number, path, say).series_id)
    return image_ids, series_ids


async def upload_folder(client: AsyncClient, folder: Path, say: Callable[[str], None]) -> SortedSeries:
    """Upload all files below a folder, and sort them into series; tells what is left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise RadserveError(f"{folder} holds no file")
    turns = asyncio.Semaphore(_AT_ONCE)

    async def send(file: Path) -> str | None:
        async with turns:
            try:
                return await client.upload(file)
            except InvalidRequest as error:
                say(f"{file.name} is left out: {error}")
                return None

    ids = [image_id for image_id in await asyncio.gather(*map(send, files)) if image_id is not None]
    if not ids:
        raise RadserveError(f"no file in {folder} is an image that the server can show")
    found = await client.sort_series(ids)
    for reason in sorted({item["reason"] for item in found.left_out}):
        count = sum(item["reason"] == reason for item in found.left_out)
        say(f"{count} of {len(ids)} images left out: {reason}")
    return found


def _choose(series: Sequence[Series], number: int, folder: Path, say: Callable[[str], None]) -> Series:
    if not 1 <= number <= len(series):
        raise RadserveError(f"{folder} holds series 1 to {len(series)}; there is no series {number}")
    chosen = series[number - 1]
    if len(series) > 1:
        others = "; ".join(f"{i} {item.description}" for i, item in enumerate(series, 1) if i != number)
        say(f"{folder} holds {len(series)} series; others with --series: {others}")
    say(f"series {number}: {chosen.description}")
    for warning in chosen.warnings:
        say(f"! {warning}")
    return chosen
