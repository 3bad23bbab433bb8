"""The loop and what it owns."""
