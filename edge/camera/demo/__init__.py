"""The built-in demo: a portrait that moves, for machines without a camera."""
