"""The user's own rows: recorded from a camera or measured on pictures, with the person's id and consent.

This runs on a Raspberry Pi, too: it needs neither TensorFlow nor SciPy.
"""
