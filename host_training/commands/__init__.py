"""The commands of `emotion-train`, one module each."""
