"""Errors of the training kit. Bases and exit statuses are those of `edge.errors`, so that both programs fail alike."""

from __future__ import annotations

from edge.errors import DataError, EdgeError, OutputError


class TrainingError(EdgeError):
    """Base of the errors that only the training kit raises."""


class SourceError(TrainingError, DataError):
    """A data set exists, but not in the layout in which it is distributed."""


class TableError(TrainingError, DataError):
    """A keypoint table is damaged, of another kind, or has too few rows."""


class BundleWriteError(TrainingError, OutputError):
    """A bundle could not be written; the one before is still there."""
