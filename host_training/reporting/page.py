"""What the HTML pages of the kit have in common: each is one file, makes no request and follows the reader's scheme."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """Finds templates by their place in the kit, as in `reporting/templates/page.html`, which the pages extend."""
    return Environment(
        loader=PackageLoader("host_training", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
