"""Landmarks -> the vector that the classifier reads: a canonical pose, then centred and scaled.

The same code prepares the training rows and the faces on the device. What it depends on (which points, the
reference shape, the statistics, the average neutral face, and the crop of the face where the classifier reads one)
is the *feature contract*; its hash stands in every model bundle, and the daemon refuses a bundle whose hash is not
that of its own features.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.classifier.crop import SIZES, FaceCrop
from edge.errors import ConfigError
from edge.values import LANDMARKS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CONTRACT_VERSION = 1
"""Version of the computation."""

LANDMARKS_INPUT, CROP_INPUT = "landmarks", "crop"
"""Names of the inputs of a classifier: the landmark vector and the crop."""
INPUTS = ((LANDMARKS_INPUT,), (CROP_INPUT,), (LANDMARKS_INPUT, CROP_INPUT))
"""Combinations of inputs that a manifest may name."""

RIGID_POINTS = (
    *(10, 151, 9, 8, 67, 297, 109, 338, 54, 284, 103, 332, 21, 251),  # forehead
    *(162, 389, 127, 356, 234, 454),  # temples and before the ears
    *(33, 133, 362, 263),  # eye corners
    *(168, 6, 197, 195, 5),  # bridge of the nose
)
"""Landmarks that do not move with the expression; the pose is fitted on these alone."""


EPSILON = 1e-12
"""Lower bound of a face's spread, px squared, far below that of any real face."""


def _rotation_form() -> NDArray[np.float64]:
    """float64[9, 16]: the entries of a rotation matrix, each as a quadratic form of its quaternion's entries.

    With q the unit quaternion: rotation.ravel() = form @ np.outer(q, q).ravel(). The agreement of a rotation
    with a covariance, trace(rotation.T @ covariance), is then the quadratic form covariance.ravel() @ form.
    """

    def matrix(w: float, x: float, y: float, z: float) -> list[float]:
        return [
            *(w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
        ]

    # The symmetric matrix of a quadratic form f: (f(a + b) - f(a) - f(b)) / 2 for each pair of unit vectors.
    unit = np.eye(4)
    alone = [np.array(matrix(*a)) for a in unit]
    pairs = [[np.array(matrix(*(a + b))) - alone[i] - alone[j] for j, b in enumerate(unit)] for i, a in enumerate(unit)]
    return np.array(pairs).reshape(16, 9).T / 2


ROTATION = _rotation_form()


@dataclass(frozen=True, slots=True)
class Pose:
    """Head poses: each landmark is rotation @ canonical, up to scale and translation."""

    rotation: NDArray[np.float64]
    """float64[N, 3, 3], proper rotations from the canonical pose to the picture."""

    @property
    def frontality(self) -> NDArray[np.float64]:
        """float64[N]: cosine of the angle between the line of sight and the face; 1 is frontal, 0 a profile."""
        facing: NDArray[np.float64] = self.rotation[:, 2, 2]
        return facing


def canonical(
    landmarks: NDArray[np.float32],
    rigid: NDArray[np.intp],
    reference: NDArray[np.float32],
    points: NDArray[np.intp] | slice = slice(None),
) -> tuple[NDArray[np.float32], Pose]:
    """Rotate, scale and translate faces so that their rigid points fit the reference in the least-squares sense.

    The least-squares similarity, for all rows at once, with the rotation as the quaternion of Horn (1987): the
    eigenvector of a symmetric 4x4 matrix. It is a proper rotation even for a mirrored face.

    Args:
        landmarks: float32[N, 478, 3] px.
        rigid: int[R], the landmarks that are fitted.
        reference: float32[R, 3], their target positions, centred on the origin.
        points: int[P], the landmarks to return; default: all.

    Returns:
        float32[N, P, 3] in units of the reference, and the pose that was removed.
    """
    fitted = landmarks[:, rigid].astype(np.float64)
    centre = fitted.sum(axis=1, keepdims=True) / len(rigid)
    fitted -= centre
    covariance = fitted.swapaxes(1, 2) @ reference
    # Both products have one constant factor. Few large steps: after the mesh, every step meets cold caches.
    agreement, quaternions = np.linalg.eigh((covariance.reshape(-1, 9) @ ROTATION).reshape(-1, 4, 4))
    best = quaternions[:, :, 3]
    rotation = ((best[:, :, None] * best[:, None, :]).reshape(-1, 16) @ ROTATION.T).reshape(-1, 3, 3)
    # The scale from face to reference; a face without extent would divide by zero.
    scale = agreement[:, 3] / np.maximum((fitted * fitted).sum(axis=(1, 2)), EPSILON)
    aligned = (landmarks[:, points] - centre) @ (rotation * scale[:, None, None])
    return aligned.astype(np.float32), Pose(rotation)


@dataclass(frozen=True, slots=True)
class Features:
    """One feature contract."""

    points: NDArray[np.intp]
    """int[P], the landmarks in the vector; empty if the classifier reads the crop alone."""
    rigid: NDArray[np.intp]
    """int[R], the landmarks that the pose is fitted on."""
    reference: NDArray[np.float32]
    """float32[R, 3], their positions in the canonical pose."""
    mean: NDArray[np.float32]
    """float32[P * 3], over the training rows."""
    scale: NDArray[np.float32]
    """float32[P * 3], standard deviation over the training rows."""
    crop: FaceCrop | None = None
    """The crop contract; None if the classifier reads landmarks alone."""
    neutral: NDArray[np.float32] | None = None
    """float32[P * 3], the mean vector of the neutral training rows, see `baseline`; None: unknown."""

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.mean.size

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs of the classifier, `LANDMARKS_INPUT` before `CROP_INPUT`."""
        return (LANDMARKS_INPUT,) * (self.size > 0) + (CROP_INPUT,) * (self.crop is not None)

    @property
    def contract_hash(self) -> str:
        """sha256 of everything that the vector and the crop depend on."""
        digest = hashlib.sha256(f"emotion-edge features {CONTRACT_VERSION}".encode())
        for array, dtype in (
            (self.points, "<i4"),
            (self.rigid, "<i4"),
            (self.reference, "<f4"),
            (self.mean, "<f4"),
            (self.scale, "<f4"),
        ):
            digest.update(f"{array.shape}{dtype}".encode())
            digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
        if self.crop is not None:
            digest.update(self.crop.contract.encode())
        if self.neutral is not None:
            digest.update(b"neutral" + self.neutral.astype("<f4").tobytes())
        return digest.hexdigest()

    def __call__(self, landmarks: NDArray[np.float32]) -> tuple[NDArray[np.float32], Pose]:
        """The vectors, float32[N, P * 3], and the poses of faces, float32[N, 478, 3] px."""
        aligned, pose = canonical(landmarks, self.rigid, self.reference, self.points)
        return (aligned.reshape(len(landmarks), self.size) - self.mean) / self.scale, pose

    @classmethod
    def fit(cls, landmarks: NDArray[np.float32], points: NDArray[np.intp], crop: FaceCrop | None = None) -> Features:
        """The contract that training rows, float32[N, 478, 3] px, give; `points` may be none where there is a crop.

        The reference is their generalised Procrustes mean (Gower 1975) over `RIGID_POINTS`.
        """
        rigid = np.asarray(RIGID_POINTS, np.intp)
        reference = _unit(landmarks[0, rigid])
        # It converges in two or three rounds; more rounds change nothing in float32.
        for _ in range(5):
            aligned, _ = canonical(landmarks, rigid, reference)
            reference = _unit(aligned[:, rigid].mean(axis=0))
        reference = _upright(landmarks, rigid, reference)
        aligned, _ = canonical(landmarks, rigid, reference, points)
        vectors = aligned.reshape(len(landmarks), -1)
        # A coordinate that never varies carries no information, and must not divide by zero.
        scale = np.maximum(vectors.std(axis=0, dtype=np.float64), 1e-4).astype(np.float32)
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(points, rigid, reference, mean, scale, crop)

    def save(self, path: Path) -> None:
        """Write the contract as `features.npz`."""
        optional: dict[str, Any] = {} if self.crop is None else {"crop": np.int32(self.crop.size)}
        if self.neutral is not None:
            optional["neutral"] = self.neutral
        np.savez_compressed(
            path,
            points=self.points.astype(np.int32),
            rigid=self.rigid.astype(np.int32),
            reference=self.reference,
            mean=self.mean,
            scale=self.scale,
            **optional,
        )

    @classmethod
    def load(cls, path: Path) -> Features:
        """Read `features.npz`.

        Raises:
            ConfigError: the file is missing, damaged, or not a feature contract.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                features = cls(
                    points=data["points"].astype(np.intp),
                    rigid=data["rigid"].astype(np.intp),
                    reference=data["reference"].astype(np.float32),
                    mean=data["mean"].astype(np.float32),
                    scale=data["scale"].astype(np.float32),
                    crop=_crop(data["crop"]) if "crop" in data else None,
                    neutral=data["neutral"].astype(np.float32) if "neutral" in data else None,
                )
        except Exception as error:
            raise ConfigError(f"{path}: not a feature contract ({error}); install the bundle again") from error
        indices = np.append(features.points, features.rigid)
        whole = (
            features.inputs
            and features.rigid.size
            and features.points.ndim == 1
            and features.reference.shape == (features.rigid.size, 3)
            and features.mean.shape == features.scale.shape == (features.points.size * 3,)
            and ((indices >= 0) & (indices < LANDMARKS)).all()
            and (features.scale > 0).all()
            and np.isfinite(features.reference).all()
            and (features.neutral is None or features.neutral.shape == features.mean.shape)
            and (features.neutral is None or np.isfinite(features.neutral).all())
        )
        if not whole:
            raise ConfigError(f"{path}: its arrays do not fit each other; install the bundle again")
        return features


def _crop(size: NDArray[Any]) -> FaceCrop:
    """The crop contract of a saved side."""
    if size.shape or size.dtype.kind != "i" or int(size) not in SIZES:
        raise ValueError(f"a crop of {size} px")
    return FaceCrop(int(size))


def _unit(shape: NDArray[np.float32]) -> NDArray[np.float32]:
    """The shape centred on its mean, with a root mean square radius of 1."""
    centred = shape.astype(np.float64) - shape.mean(axis=0, dtype=np.float64)
    radius = np.sqrt(np.square(centred).sum(axis=1).mean())
    return np.asarray(centred / radius, np.float32)


def _upright(
    landmarks: NDArray[np.float32], rigid: NDArray[np.intp], reference: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Rotate the reference so that the average training face looks straight ahead.

    Procrustes analysis leaves it in the orientation of the first row; frontality is measured from here.
    """
    _, pose = canonical(landmarks, rigid, reference)
    u, _, vt = np.linalg.svd(pose.rotation.mean(axis=0, dtype=np.float64))
    mean_rotation = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return np.asarray(reference @ mean_rotation.T, np.float32)
