"""From a keypoint table to a model bundle: recipe, network, quantisation, packing; folds and search."""
