"""The training kit: pictures with votes -> keypoint table -> trained, evaluated and packed classifier.

It runs on a workstation. It uses `edge` itself to measure faces, prepare inputs and run the result, so that training
and serving cannot drift apart. `edge` never imports it.
"""

import edge as edge  # first, because it limits the size of the pictures that OpenCV decodes
