"""The commands of `emotion-train`, a module each."""
