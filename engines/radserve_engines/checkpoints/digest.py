"""What a checkpoint is known by."""

import hashlib
import json
from pathlib import Path

from radserve_engines.manifest import digest_files


def checkpoint_digest(folder: Path) -> str:
    """One digest over all files of a checkpoint or adapter folder but a manifest and its signature."""
    listing = json.dumps(digest_files(folder), sort_keys=True)
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"
