"""What can go wrong in training; exit statuses and bases are the edge's, so that both commands fail alike."""

from __future__ import annotations

from edge.errors import DataError, EdgeError, OutputError


class TrainingError(EdgeError):
    """Base of what only the training kit raises."""


class SourceError(TrainingError, DataError):
    """A data set is there, but not in the layout in which it is distributed."""


class TableError(TrainingError, DataError):
    """A keypoint table is damaged, of another kind, or holds too little to work with."""


class BundleWriteError(TrainingError, OutputError):
    """A bundle could not be put where it belongs; the one before is still there."""
