"""From a face to a reading: features, crop, network, and the neutral baseline."""
