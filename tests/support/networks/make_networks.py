"""Makes the small networks in this folder, for test bundles that read crops.

It needs TensorFlow: .venv/train/bin/python tests/support/networks/make_networks.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

POINTS, LABELS, SIDE, CELL = 4, 3, 48, 6
LARGE, CHANNELS, REPEATS = 240, 16, 12
"""Side, channels and convolutions of the slow network: 1.6 thousand million multiplications, about thirty times those
of the face mesh, so that it is slower on every processor."""
FACES = 300
"""Number of random faces from which the int8 ranges are derived."""


def main() -> None:
    generator = np.random.default_rng(1)
    cells = (SIDE // CELL) ** 2
    by_vector = tf.constant(generator.normal(0, 0.4, (POINTS * 3, LABELS)), tf.float32)
    by_crop = tf.constant(generator.normal(0, 0.2, (cells, LABELS)), tf.float32)

    def from_vector(values: tf.Tensor) -> tf.Tensor:
        return tf.matmul(values, by_vector)

    def from_crop(values: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.reshape(tf.nn.avg_pool2d(values, CELL, CELL, "VALID"), [1, cells]), by_crop)

    vectors = generator.normal(0, 1, (FACES, 1, POINTS * 3)).astype(np.float32)
    # Every cell has one grey level, so that averages cover the whole range.
    grey = generator.integers(0, 256, (FACES, 1, SIDE // CELL, SIDE // CELL, 1)).repeat(CELL, 2).repeat(CELL, 3)
    crops = ((grey - 128) / 48).astype(np.float32)
    into, within = (
        tf.constant(generator.normal(0, 0.2, (3, 3, channels, CHANNELS)), tf.float32) for channels in (1, CHANNELS)
    )

    def slowly(values: tf.Tensor) -> tf.Tensor:
        """Many multiplications with few weights, in a small file."""
        large = tf.nn.conv2d(tf.image.resize(values, [LARGE, LARGE]), into, 1, "SAME")
        for _ in range(REPEATS):
            large = tf.nn.relu6(tf.nn.conv2d(large, within, 1, "SAME"))
        small = tf.image.resize(large, [SIDE, SIDE])
        return from_crop(tf.reduce_mean(small, 3, keepdims=True))

    vector, crop = [1, POINTS * 3], [1, SIDE, SIDE, 1]

    def both(values: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
        return from_vector(values) + from_crop(pixels)

    # The converter orders inputs independently of the arguments: here b comes before a.
    write("landmarks_crop", both, [tf.TensorSpec(vector, name="b"), tf.TensorSpec(crop, name="a")], [vectors, crops])
    write("crop_landmarks", both, [tf.TensorSpec(vector, name="a"), tf.TensorSpec(crop, name="b")], [crops, vectors])
    write("crop", from_crop, [tf.TensorSpec(crop)], [crops])
    write("crop_float", from_crop, [tf.TensorSpec(crop)], None)
    write("crop_slow", slowly, [tf.TensorSpec(crop)], [crops])


def write(name: str, run: object, signature: list[tf.TensorSpec], sample: list[np.ndarray] | None) -> None:
    """Write a network: int8 with a representative sample (in the order of the file's inputs), else float32."""
    holder = tf.Module()
    holder.run = tf.function(run, input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([holder.run.get_concrete_function()], holder)
    if sample is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (list(face) for face in zip(*sample, strict=True))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    Path(__file__).with_name(f"{name}.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
