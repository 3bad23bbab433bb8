"""The keypoint table: how faces get into it, what it holds, and how it is split."""
