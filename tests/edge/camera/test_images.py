from __future__ import annotations

import ctypes
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.formats import SUFFIXES, is_picture
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


def _motion_photo(jpeg: bytes) -> bytes:
    """As phones write it: a film after the picture, in which a scan's marker may occur."""
    return jpeg + struct.pack(">I", 24) + b"ftypmp42\0\0\0\0mp42isom" + b"\xff\xda" + bytes(100)


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("restart", [0, 2])
@pytest.mark.parametrize(
    "tail",
    [b"", b"\xff\xda", b"\xff\xd8\xff\xe1", bytes(5000), b"\xff\xd9", None],
    ids=["nothing", "scan", "picture", "zeros", "end", "film"],
)
def test_what_follows_a_jpeg_does_not_matter(tmp_path: Path, progressive: int, restart: int, tail: bytes | None):
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    whole = cv2.imencode(".jpg", RAMP, options)[1].tobytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    alone = read_image(path)
    path.write_bytes(_motion_photo(whole) if tail is None else whole + tail)
    np.testing.assert_array_equal(read_image(path), alone)
    path.write_bytes(whole[: len(whole) * 3 // 4] + bytes(5000))
    with pytest.raises(DataError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_format_of_the_list_is_read(tmp_path: Path, suffix: str):
    written = {".jfif": ".jpg", ".mpo": ".jpg"}.get(suffix, suffix)
    picture = RAMP[..., 0] if suffix in {".pgm", ".pbm"} else RAMP / np.float32(255) if suffix == ".pfm" else RAMP
    path = tmp_path / f"a{suffix}"
    if not cv2.haveImageWriter(written):
        path.write_bytes(b"GIF89a" if suffix == ".gif" else b"\0\0\0 ftypavif")
        with pytest.raises(DataError, match=f"OpenCV {cv2.__version__} does not read {suffix[1:].upper()} pictures"):
            read_image(path)
        return
    path.write_bytes(cv2.imencode(written, picture)[1].tobytes())
    assert read_image(path).shape == (48, 64, 3)
    assert is_picture(path)
    assert is_picture(path.rename(tmp_path / f"{suffix[1:]}.other")), "by its first bytes"


@pytest.mark.parametrize("name", ["a.heic", "a.HEIC", "a.heif", "a.jpg"])
def test_heic_is_named_with_what_to_do(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    with pytest.raises(DataError, match=r"HEIC pictures are not read; convert them to JPEG, .*heif-convert"):
        read_image(path)


def _claims_30000_pixels(kind: str) -> bytes:
    """A small file whose header says that it holds 30000x30000 pixels."""
    large = struct.pack(">II", 30000, 30000)
    if kind == "png":
        chunks = ((b"IHDR", large + b"\x08\x02\0\0\0"), (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
    if kind in {"ppm", "pgm"}:
        return {"ppm": b"P6", "pgm": b"P5"}[kind] + b"\n30000 30000\n255\n" + bytes(1000)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if kind == "progressive" else []
    suffix = ".jpg" if kind in {"baseline", "progressive"} else f".{kind}"
    data = cv2.imencode(suffix, RAMP, options)[1].tobytes()
    at, size = {
        "baseline": (data.find(b"\xff\xc0") + 5, struct.pack(">HH", 30000, 30000)),
        "progressive": (data.find(b"\xff\xc2") + 5, struct.pack(">HH", 30000, 30000)),
        "gif": (6, struct.pack("<HH", 30000, 30000)),
        "bmp": (18, struct.pack("<ii", 30000, 30000)),
    }[kind]
    return data[:at] + size + data[at + len(size) :]


@pytest.mark.parametrize("kind", ["png", "baseline", "progressive", "gif", "bmp", "pgm", "ppm"])
def test_a_picture_that_claims_to_be_too_large_is_refused_before_it_is_decoded(tmp_path: Path, kind: str):
    if not cv2.haveImageWriter(f".{kind}") and kind == "gif":
        pytest.skip("this OpenCV reads no GIF")
    path = tmp_path / "bomb"
    path.write_bytes(_claims_30000_pixels(kind))
    # In a process of its own, whose memory is limited: decoded, it would have 2.7 GB. It imports OpenCV as users do.
    limited = (
        "import sys, resource, pathlib; from edge.camera.images import read_image;"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30)); read_image(pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", limited, path], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("has more than 100 megapixels, the most that is read; scale it down\n")


def test_a_file_too_large_for_a_picture_is_not_read(tmp_path: Path):
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(5_000_000_000)
    with pytest.raises(DataError, match=r"has 5\.0 GB, and no picture has more than 1 GB"):
        read_image(path)


def test_a_device_that_never_ends_is_refused():
    with pytest.raises(NoInputError, match="/dev/zero is a device, not a file"):
        read_image(Path("/dev/zero"))


def test_decoders_write_nothing_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    png = cv2.imencode(".png", RAMP)[1].tobytes()
    body = b"iCCPicc\0\0" + zlib.compress(b"no profile")
    profile = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    jpeg = cv2.imencode(".jpg", RAMP, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
    data = {
        "libpng warning": png[:33] + profile + png[33:],
        "libjpeg warning": jpeg[:-2] + bytes(20) + jpeg[-2:],
    }
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
        assert read_image(tmp_path / name).shape == (48, 64, 3)
    (tmp_path / "libpng error").write_bytes(png.replace(b"IDAT", b"IDAT\xff\xff", 1))
    with pytest.raises(DataError):
        read_image(tmp_path / "libpng error")
    assert capfd.readouterr().err == ""
    ctypes.CDLL(None).perror(b"afterwards C libraries may write again")
    assert "afterwards" in capfd.readouterr().err


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


def test_links_are_followed(tmp_path: Path):
    for name in ("disk/happy/1.png", "disk/2.png", "d/sad/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "d" / "happy").symlink_to("../disk/happy", target_is_directory=True)
    (tmp_path / "d" / "sad" / "4.png").symlink_to(tmp_path / "disk" / "2.png")
    found = [str(path.relative_to(tmp_path / "d")) for path in image_files(tmp_path / "d")]
    assert found == ["happy/1.png", "sad/3.png", "sad/4.png"]


@pytest.mark.parametrize("target", [".", "..", "/", "../..", "../b"])
def test_links_that_lead_back_are_not_followed_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture, target: str):
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(target, target_is_directory=True)
    (tmp_path / "b" / "loop").symlink_to("../a", target_is_directory=True)
    found = {str(path.relative_to(tmp_path)) for path in image_files(tmp_path)}
    assert found == {"a/1.png", "b/2.png", "b/loop/1.png", *(["a/loop/2.png"] if target == "../b" else [])}
    assert "is a link to a folder that it is in" in caplog.text


def test_what_cannot_be_opened_is_found_and_the_reader_says_why(tmp_path: Path):
    (tmp_path / "gone").symlink_to("/media/disk/happy", target_is_directory=True)
    (tmp_path / "round").symlink_to("round")
    assert list(image_files(tmp_path)) == [tmp_path / "gone", tmp_path / "round"]
    with pytest.raises(NoInputError, match="gone is a link to /media/disk/happy, which does not exist"):
        read_image(tmp_path / "gone")
    with pytest.raises(NoInputError, match="round cannot be read: Too many levels"):
        read_image(tmp_path / "round")


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
