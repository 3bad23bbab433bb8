"""The two released bundles, which most tests read with."""

from edge.bundle import locate

FUSED_BUNDLE = locate.released() / locate.FUSED
LANDMARK_BUNDLE = locate.released() / locate.LANDMARKS
