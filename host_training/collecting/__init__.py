"""Rows of one's own: recorded from a camera or measured on pictures, with who it is and who agreed to it.

Nothing here needs more than a Raspberry Pi has: no TensorFlow, no SciPy.
"""
