from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.images import ImagesCamera, image_files, read_image
from edge.errors import DataError, EndOfStreamError, NoInputError, PermissionRefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.settings import CameraSettings

    from .conftest import ManualTime

RAMP = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)


def save(path: Path, picture: NDArray[Any] = RAMP) -> Path:
    ok, data = cv2.imencode(path.suffix, picture)
    assert ok
    path.write_bytes(data.tobytes())
    return path


def test_colours_are_rgb(tmp_path: Path):
    rgb = read_image(save(tmp_path / "a.png"))
    np.testing.assert_array_equal(rgb, RAMP[..., ::-1])


def test_16_bits_are_scaled_to_8(tmp_path: Path):
    deep = RAMP.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_image(save(tmp_path / "deep.png", deep)), RAMP[..., ::-1])


def test_grey_becomes_three_equal_channels(tmp_path: Path):
    rgb = read_image(save(tmp_path / "grey.png", RAMP[..., 0]))
    np.testing.assert_array_equal(rgb, np.repeat(RAMP[..., :1], 3, axis=2))


def test_grey_of_16_bits(tmp_path: Path):
    rgb = read_image(save(tmp_path / "grey.png", RAMP[..., 0].astype(np.uint16) * 257))
    np.testing.assert_array_equal(rgb[..., 1], RAMP[..., 0])


def test_alpha_is_dropped(tmp_path: Path):
    rgb = read_image(save(tmp_path / "alpha.png", np.dstack([RAMP, np.full((48, 64), 128, np.uint8)])))
    np.testing.assert_array_equal(rgb, RAMP[..., ::-1])


def test_one_pixel(tmp_path: Path):
    assert read_image(save(tmp_path / "dot.png", RAMP[:1, :1])).shape == (1, 1, 3)


def test_names_beyond_ascii(tmp_path: Path):
    assert read_image(save(tmp_path / "Gesicht 🙂 é.png")).shape == (48, 64, 3)


def test_exif_orientation_is_applied(tmp_path: Path):
    _, plain = cv2.imencode(".jpg", RAMP)
    # One entry, 0x0112 Orientation, SHORT, 6: turn by 90 degrees clockwise to view (Exif 2.3, 4.6.4).
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    body = b"Exif\0\0" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(plain[:2].tobytes() + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:].tobytes())
    turned = read_image(path)
    assert turned.shape == (64, 48, 3)
    assert turned[:, -1].mean() < turned[:, 0].mean()  # the dark top row is the right column now


def test_empty_file(tmp_path: Path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(DataError, match=r"empty\.jpg is empty"):
        read_image(tmp_path / "empty.jpg")


def test_missing_file(tmp_path: Path):
    with pytest.raises(NoInputError, match=r"no\.jpg does not exist"):
        read_image(tmp_path / "no.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_files(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, share: float):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_jpeg_truncated_after_its_thumbnail_is_reported(tmp_path: Path):
    _, thumbnail = cv2.imencode(".jpg", RAMP[:8, :8])
    _, full = cv2.imencode(".jpg", RAMP)
    body = b"Exif\0\0" + thumbnail.tobytes()
    data = full[:2].tobytes() + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + full[2:].tobytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:-200])
    with pytest.raises(DataError, match="truncated"):
        read_image(path)


@given(
    data=st.binary(max_size=400),
    head=st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF"]),
)
def test_any_bytes_give_a_picture_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, head: bytes, data: bytes):
    path = tmp_path_factory.getbasetemp() / "bytes.jpg"
    path.write_bytes(head + data)
    try:
        rgb = read_image(path)
    except DataError:
        return
    assert rgb.dtype == np.uint8
    assert rgb.shape[2] == 3


def test_files_are_walked_in_sorted_order_without_hidden_ones(tmp_path: Path):
    for name in ("b.png", "a/2.png", "a/1.png", "c.txt", ".hidden.png", ".cache/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in image_files(tmp_path)]
    assert found == ["a/1.png", "a/2.png", "b.png", "c.txt"]


def test_a_link_to_a_parent_folder_is_not_followed(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert list(image_files(tmp_path)) == []


def test_each_image_is_shown_once_at_the_settings_rate(tmp_path: Path, settings: CameraSettings, world: ManualTime):
    for i in range(3):
        save(tmp_path / f"{i}.png", np.full((4, 4, 3), 10 * i, np.uint8))
    camera = ImagesCamera(tmp_path, settings, clock=world.clock, sleep=world.sleep)
    frames = [camera.read(1.0) for _ in range(3)]
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [0, 10, 20]
    assert [frame.captured_at for frame in frames] == pytest.approx([1000.0, 1000.1, 1000.2])
    with pytest.raises(EndOfStreamError):
        camera.read(1.0)


def test_read_waits_no_longer_than_its_time_out(tmp_path: Path, settings: CameraSettings, world: ManualTime):
    save(tmp_path / "1.png")
    save(tmp_path / "2.png")
    camera = ImagesCamera(tmp_path, settings, clock=world.clock, sleep=world.sleep)
    camera.read(1.0)
    assert camera.read(0.03) is None
    assert world.now == pytest.approx(1000.03)


def test_other_files_are_reported_and_counted(
    tmp_path: Path, settings: CameraSettings, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "a.txt").write_text("hello")
    save(tmp_path / "b.png")
    (tmp_path / "c.jpg").touch()
    camera = ImagesCamera(tmp_path, settings, pace=False)
    camera.read(1.0)
    with pytest.raises(EndOfStreamError):
        camera.read(1.0)
    assert camera.skipped == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"skipped: {tmp_path / 'a.txt'} is not a readable image",
        f"skipped: {tmp_path / 'c.jpg'} is empty",
    ]


def test_a_folder_without_an_image(tmp_path: Path, settings: CameraSettings):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(NoInputError, match="contains no readable image"):
        ImagesCamera(tmp_path, settings)


def test_a_device_is_rejected(settings: CameraSettings):
    with pytest.raises(NoInputError, match="/dev/null is neither a file nor a folder"):
        ImagesCamera(Path("/dev/null"), settings)


def test_a_missing_folder(tmp_path: Path, settings: CameraSettings):
    with pytest.raises(NoInputError, match="nowhere does not exist"):
        ImagesCamera(tmp_path / "nowhere", settings)


def test_a_file_without_read_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Simulated, because root, who often runs the tests, may read every file.
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "refused")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionRefusedError, match=r"a\.png may not be read by this user"):
        read_image(tmp_path / "a.png")
