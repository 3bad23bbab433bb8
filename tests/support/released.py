"""The two released bundles."""

from edge.bundle import locate

FUSED_BUNDLE = locate.released() / locate.FUSED
LANDMARK_BUNDLE = locate.released() / locate.LANDMARKS
