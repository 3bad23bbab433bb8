"""The keypoint table: how faces are measured into it, what it holds, how it is split, and what networks get of it."""
