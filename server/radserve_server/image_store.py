"""Uploaded images, in memory only, by the digest of their bytes and the caller who sent them."""

import hashlib
import re
import time
from dataclasses import dataclass

from radserve_imaging import Plane
from radserve_server.aside import run_aside
from radserve_server.errors import NotFound, TooLarge
from radserve_server.expiring_cache import ExpiringCache

SCHEME = "radserve://images/"
"""Before an image id, this is the URL of an uploaded image in an image part."""

_IMAGE_ID = re.compile(r"sha256-[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The bytes as they came, and where a slice lies; `expires_at` in Unix seconds."""

    image_id: str
    media_type: str
    data: bytes
    expires_at: int
    plane: Plane | None = None


async def identify(data: bytes) -> str:
    """The content-addressed id of an image."""
    digest = await run_aside(len(data), hashlib.sha256, data)
    return f"sha256-{digest.hexdigest()}"


class ImageStore:
    """An image is found by its own uploader only: to know a digest is not to own the image."""

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._images: ExpiringCache[tuple[str, str], StoredImage] = ExpiringCache(max_bytes, ttl_s)

    @property
    def size(self) -> int:
        """How much is kept."""
        return self._images.bytes

    def put(
        self, owner: str, image_id: str, media_type: str, data: bytes, plane: Plane | None = None
    ) -> StoredImage:
        """Keep an image; raises TooLarge if it alone is more than the store holds."""
        image = StoredImage(image_id, media_type, data, int(time.time() + self._ttl_s), plane)
        if not self._images.put((owner, image_id), image, len(data)):
            raise TooLarge(f"the image of {len(data):,} bytes does not fit into the image store")
        return image

    def get(self, owner: str, image_id: str, param: str) -> StoredImage:
        """Find an image; raises NotFound naming `param`."""
        image = self._images.get((owner, image_id)) if _IMAGE_ID.fullmatch(image_id) else None
        if image is None:
            raise NotFound(
                "there is no such image: it was never uploaded with this key, has expired or was deleted; "
                "upload it with POST /v1/images",
                code="image_not_found",
                param=param,
            )
        return image

    def delete(self, owner: str, image_id: str) -> None:
        """Forget an image; raises NotFound."""
        self.get(owner, image_id, "image_id")
        self._images.discard((owner, image_id))

    def sweep(self) -> None:
        """Forget what has expired."""
        self._images.sweep()
