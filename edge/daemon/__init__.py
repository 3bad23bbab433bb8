"""The daemon: the loop, and the parts that it drives."""
