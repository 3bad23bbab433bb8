"""The subscriber's side: what many devices say, as lines and tables."""
