"""From a face to a reading: features, crop, network, and what a person's neutral face changes."""
