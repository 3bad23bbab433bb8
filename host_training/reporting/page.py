"""The environment of all HTML pages: each is one file, makes no requests and follows the reader's colour scheme."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """An environment that finds templates by path in the kit, as in `reporting/templates/page.html`, their base."""
    return Environment(
        loader=PackageLoader("host_training", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
