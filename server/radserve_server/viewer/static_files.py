"""Files of a folder over HTTP: compressed where a .gz lies beside them, for ever where the name holds their hash."""

import mimetypes
import os
import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

# Browsers run a module or a wasm only under these names; the machine's own table may have others.
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".jsonc": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".webapp": "application/manifest+json",
}
_HASHED = re.compile(r"(?:.*\.)?[0-9a-f]{16,20}\.(?:js|wasm|woff2)")
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"  # kept, but used only after a 304


class Folder(StaticFiles):
    """GET and HEAD of a folder's files; links that lead out of it are not followed.

    `page` is the file that answers for every path without a file ending, as a single-page application wants.
    """

    def __init__(self, folder: Path, *, page: str | None = None) -> None:
        super().__init__(directory=folder)
        self._page = page

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file at `path`; raises HTTPException 404 or 405."""
        if path.endswith((".map", ".gz")) or path.startswith(".."):
            raise HTTPException(404)
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or self._page is None or "." in os.path.basename(path).strip("."):
                raise
            return await super().get_response(self._page, scope)

    def file_response(
        self,
        full_path: "os.PathLike[str] | str",
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file, or its .gz for a client that takes it, or 304."""
        path = Path(full_path)
        asked = Headers(scope=scope)
        headers = {
            "cache-control": _FOR_EVER if _HASHED.fullmatch(path.name) else _ASK_AGAIN,
            "content-type": _content_type(path),
            "vary": "accept-encoding",
        }
        packed = path.with_name(f"{path.name}.gz")
        if "gzip" in asked.get("accept-encoding", "") and packed.is_file():
            path, stat_result = packed, packed.stat()
            headers["content-encoding"] = "gzip"
        response = FileResponse(path, status_code, headers, stat_result=stat_result)
        if self.is_not_modified(response.headers, asked):
            return NotModifiedResponse(response.headers)
        return response


def _content_type(path: Path) -> str:
    known = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"{known}; charset=utf-8" if known.startswith("text/") else known
