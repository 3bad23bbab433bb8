"""The lines of the face mesh that are drawn."""

from __future__ import annotations

# fmt: off
FINE_LINES = (
    # oval
    (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148,
     176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10),
    # bridge and base of the nose
    (168, 6, 197, 195, 5, 4, 1, 19, 94, 2),
    (4, 45, 220, 115, 48, 64, 98, 97, 2, 326, 327, 294, 278, 344, 440, 275, 4),
)
"""Outline and nose, drawn fainter than the parts that move with the expression."""
BOLD_LINES = (
    # lips: outer, inner
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78),
    # eyes
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263),
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33),
    # brows: along the upper edge, and back along the lower one
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276, 300),
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 70),
)
"""Lips, eyes and brows. All lines follow MediaPipe's `FaceLandmarksConnections` (mediapipe 1.2,
tasks/python/vision/face_landmarker.py), except that the two open lines of a brow are joined into a closed one."""
IRISES = ((474, 475, 476, 477), (469, 470, 471, 472))
"""Four points on the rim of each iris."""
# fmt: on
