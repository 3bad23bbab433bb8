"""The built-in demo: an animated portrait, for machines without a camera."""
