"""The training kit: pictures with votes -> keypoint table -> trained, evaluated, packed classifier.

It runs on a workstation and uses `edge` itself to measure faces, prepare vectors and run the result, so that
training and serving cannot drift apart. `edge` never imports it.
"""
