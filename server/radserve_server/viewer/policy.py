"""What the viewer's pages may do, told to the browser, which sees to it: nothing is asked of any other address."""

import base64
import hashlib
import re

_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
# 'self' is scheme, host and port: one address. blob: and data: never leave the browser.
_DIRECTIVES = {
    "default-src": "'self'",
    "base-uri": "'none'",
    "connect-src": "'self' blob: data:",
    "font-src": "'self' data:",
    "form-action": "'self'",
    "frame-ancestors": "'self'",
    "frame-src": "'self' blob:",
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob:",
    "object-src": "'self' blob:",  # a PDF out of a study
    "style-src": "'self' 'unsafe-inline'",  # OHIF's parts write style elements
    "worker-src": "'self' blob:",
}
# OHIF's image decoders in their workers, and on the page what reads segmentations, make functions out of text.
_SCRIPTS = "'self' 'unsafe-eval'"


def page_policy(page: bytes) -> str:
    """Content-Security-Policy of OHIF's page: its own inline scripts are let through by their hashes, no others."""
    hashes = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE.findall(page))
    scripts = " ".join([_SCRIPTS, *(f"'sha256-{one}'" for one in hashes)])
    return "; ".join(f"{name} {value}" for name, value in {**_DIRECTIVES, "script-src": scripts}.items())
