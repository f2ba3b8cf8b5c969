"""Damaged files over HTTP: the gateway refuses them or shows what is whole, and good ones go on as ever.

`pytest -s` prints what was refused as what.
"""

import hashlib
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from radserve_server.fake import MANIFEST, FakeBackend

pytestmark = pytest.mark.timed

DEADLINE_S = 5.0
WORKER_BYTES = 2**30
LEAST_VARIANTS = 60


@dataclass
class Tally:
    """What became of the variants of one transfer syntax."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    wrong: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def two_workers(start):
    """A short deadline, and the memory that is the default; a small canvas, for there are thousands of files.

    No rendering is remembered, so that good files are decoded every time.
    """
    manifest = {**MANIFEST, "image_policy": {"width": 112, "height": 112}}
    with start(
        FakeBackend(manifest=manifest),
        render_workers=2,
        render_deadline_s=DEADLINE_S,
        rendering_cache_bytes=1,
    ) as gateway:
        yield gateway


def post(gateway, data):
    headers = {"content-type": "application/dicom"}
    return gateway.http.post("/v1/render", content=data, headers=headers)


def pixels_of(response):
    """The digest of the PNG."""
    assert response.status_code == 200, response.text
    return hashlib.sha256(response.content).hexdigest()


def try_variant(gateway, undamaged, good, good_pixels, variant):
    """Its outcome, its seconds, and what was wrong with that; then the good file."""
    began = time.monotonic()
    response = post(gateway, variant.data)
    seconds = time.monotonic() - began
    outcome, wrong = "shown", ""
    if response.status_code != 200:
        error = response.json()["error"]
        outcome = error["code"]
        refused = 400 <= response.status_code < 500 and error["message"] and outcome != "decoder_failed"
        if not refused:
            wrong = f"{response.status_code} {response.text}"
    elif variant.cut and pixels_of(response) != undamaged:
        wrong = "a part of the picture was shown as the whole"
    if seconds > DEADLINE_S + 1:
        wrong = f"answered after {seconds:.1f} s"
    if pixels_of(post(gateway, good)) != good_pixels:
        wrong = "the good file after it was shown otherwise than before"
    return outcome, seconds, wrong


@pytest.mark.checks("Refused, with a code: damage")
def test_damaged_files_harm_nobody(two_workers, ct, files):
    """Two at once, so that a worker has a good file in hand while the other has a damaged one."""
    good_pixels = pixels_of(post(two_workers, ct))
    workers = sorted(two_workers.services.pool.pids())
    tally = Tally()
    for original, variants in files:
        undamaged = pixels_of(post(two_workers, original.data))
        attempt = partial(try_variant, two_workers, undamaged, ct, good_pixels)
        with ThreadPoolExecutor(2) as threads:
            for variant, (outcome, seconds, wrong) in zip(
                variants, threads.map(attempt, variants), strict=True
            ):
                tally.outcomes[outcome] += 1
                tally.slowest = max(tally.slowest, (round(seconds, 2), variant.kind))
                tally.wrong += [f"{original.name}: {variant.kind}: {wrong}"] if wrong else []
    peak = max(peak_bytes(pid) for pid in workers)
    print(f"\n{files[0][0].syntax}: {tally.outcomes.total()} variants of {[file.name for file, _ in files]}")
    print(f"  {dict(tally.outcomes.most_common())}, slowest {tally.slowest}, peak {peak / 2**20:.0f} MiB")
    assert tally.outcomes.total() >= LEAST_VARIANTS
    assert not tally.wrong
    assert sorted(two_workers.services.pool.pids()) == workers, "a worker died"
    assert peak <= WORKER_BYTES


def peak_bytes(pid):
    """The most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_all_transfer_syntaxes_are_covered(syntaxes):
    """15 in the shared collection, 12 in what pydicom brings along."""
    covered, expected = syntaxes
    assert covered == expected
