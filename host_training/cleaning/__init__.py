"""Looks for wrong labels and near-duplicates, and keeps what people decide about them."""
