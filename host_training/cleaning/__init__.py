"""Search for wrong labels and near-duplicates, and the page on which people decide about them."""
