"""The page, one document made of the files in `page/`, so that a browser needs one request and no other server."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

PARTS = Path(__file__).with_name("page")
"""Folder of the parts: `page.html`, which has a line `<!-- NAME -->` in place of every other part."""


class Document:
    """The text of the page, its version, and what it may do."""

    def __init__(self) -> None:
        """Read the parts."""
        page = (PARTS / "page.html").read_text(encoding="utf-8")
        self.text = re.sub(r"<!-- (\S+) -->\n", lambda found: (PARTS / found[1]).read_text(encoding="utf-8"), page)
        self.version = hashlib.sha256(self.text.encode()).hexdigest()[:16]
        self.policy = _policy(self.text)
        """Content-Security-Policy (CSP 3): the page's own scripts and styles, and requests to this server only."""


def _policy(text: str) -> str:
    def hashes(tag: str) -> str:
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in inline)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; connect-src 'self'; img-src data:; script-src {hashes('script')}; "
        f"style-src {hashes('style')}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
