"""The subscriber's side: the messages of many devices, as lines and tables."""
