"""The commands as a user runs them: exit status, errors in one line, and output."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bundle import locate
from edge.bundle.locate import Installation
from edge.camera.demo.camera import DemoCamera
from edge.cli import main
from edge.commands.welcome import welcome
from edge.settings import CameraSettings, Settings, template
from tests.support.released import FUSED_BUNDLE, LANDMARK_BUNDLE

pytest_plugins = ["tests.support.broker", "tests.support.crop_bundles"]

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("models")
NO_BROKER = "mqtt://127.0.0.1:9"


PROCESSES = {"run", "record"}
"""Commands that handle signals. The others run in this process to save time; a few tests start them as well."""

SHORT_BENCH = (
    "import sys; from edge.commands.bench import process; process.DAEMON_S = 1.0; "
    "from edge.cli import main; sys.exit(main())"
)
"""The program, with a bench that runs the daemon for one second instead of eight."""


def emotion_edge(*arguments, **environment) -> subprocess.CompletedProcess:
    if PROCESSES.intersection(arguments):
        return process("-m", "edge", *arguments, **environment)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(REPOSITORY)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:  # --help
            status = int(end.code or 0)
        finally:
            logging.captureWarnings(capture=False)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def process(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )


def error_of(*arguments, status, **environment) -> str:
    """The single line of an error."""
    done = emotion_edge(*arguments, **environment)
    assert done.returncode == status, done.stderr
    lines = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr
    (line,) = [line for line in lines if line.startswith("emotion-edge: ")]
    return line


@pytest.fixture(scope="module")
def smile(tmp_path_factory) -> Path:
    """A picture of the demo's person, smiling."""
    path = tmp_path_factory.mktemp("pictures") / "smile.png"
    rgb = DemoCamera(CameraSettings()).draw(1.0)
    cv2.imwrite(str(path), rgb[:, :, ::-1])
    return path


@pytest.mark.interpreter
def test_classify_prints_one_complete_object_for_each_picture(smile):
    done = emotion_edge("classify", "--json", smile)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert result["source"] == str(smile)
    (face,) = result["faces"]
    assert face["expression"] == "happiness"
    assert face["confidence"] == max(face["probabilities"].values())
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    x, y, width, height = face["box"]
    assert 200 < x + width / 2 < 440
    assert 120 < y + height / 2 < 360
    assert face["quality"] > 0.8
    assert face["position"] == {
        "x": pytest.approx((x + width / 2) / 640, abs=1e-3),
        "y": pytest.approx((y + height / 2) / 480, abs=1e-3),
    }
    assert face["distance_m"] is None, "nobody knows with which lens a picture was taken"


def test_classify_tells_the_distance_if_the_field_of_view_is_set(smile, tmp_path):
    distances = []
    for degrees in (60.0, 90.0):
        (tmp_path / "lens.toml").write_text(f"[camera]\nfield_of_view = {degrees}\n")
        done = emotion_edge("classify", "--json", "--config", tmp_path / "lens.toml", smile)
        distances.append(json.loads(done.stdout)["faces"][0]["distance_m"])
    narrow, wide = distances
    assert 0.3 < narrow < 1.0
    assert narrow / wide == pytest.approx(math.tan(math.radians(45)) / math.tan(math.radians(30)), rel=0.05)


@pytest.mark.parametrize(
    "expected",
    [
        {"anna.png": "happiness", "ben.png": "happiness"},
        {"0-f1-su-ph.jpg": "surprise", "0-f15-hao-ph.jpg": "happiness"},
    ],
    ids=["free", "foreign"],
)
def test_classify_reads_posed_expressions(media, expected):
    done = emotion_edge("classify", "--json", *(media(name) for name in expected))
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(r["source"]).name: r["faces"][0]["expression"] for r in found} == expected


def test_classify_walks_folders_and_reports_unreadable_files(smile, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("not a picture")
    (tmp_path / "b.png").write_bytes(smile.read_bytes())
    (tmp_path / "c.png").write_bytes(smile.read_bytes()[:2000])
    done = emotion_edge("classify", "--json", tmp_path)
    results = {Path(r["source"]).name: r for r in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert set(results) == {"notes.txt", "b.png", "c.png"}
    assert results["b.png"]["faces"]
    assert "error" in results["notes.txt"]
    assert "error" in results["c.png"]
    assert "\n" not in results["c.png"]["error"]


def test_classify_reads_files_whose_names_are_not_utf_8(smile, tmp_path):
    names = [b"caf\xe9.jpg", b"d\xe9/1.jpg", "客厅.jpg".encode()]
    for name in names:
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(smile.read_bytes())
    as_json = process("-m", "edge", "classify", "--json", tmp_path)
    assert as_json.returncode == 0, as_json.stderr
    found = [json.loads(line)["source"] for line in as_json.stdout.splitlines()]
    assert found == [str(tmp_path / os.fsdecode(name)) for name in names]
    as_text = process("-m", "edge", "classify", tmp_path, PYTHONIOENCODING="latin-1")
    assert as_text.returncode == 0, as_text.stderr
    assert as_text.stdout.count(": happiness") == 3


def test_images_in_a_folder_whose_name_is_not_utf_8_are_played(smile, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"1\xff.png")).write_bytes(smile.read_bytes())
    done = emotion_edge("run", "--camera", f"images:{folder}", "--mqtt", NO_BROKER)
    assert done.returncode == 0, done.stderr
    assert "face 1: new happiness" in done.stderr


def test_classify_accepts_one_pixel_and_sixteen_bits(smile, tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((1, 1, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "deep.png"), cv2.imread(str(smile)).astype(np.uint16) * 257)
    done = emotion_edge("classify", "--json", tmp_path / "one.png", tmp_path / "deep.png")
    one, deep = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0
    assert one["faces"] == []
    assert deep["faces"][0]["expression"] == "happiness"


def test_classify_of_a_missing_file_is_an_error_object(tmp_path):
    done = emotion_edge("classify", "--json", tmp_path / "missing.jpg")
    assert done.returncode == 1
    assert "missing.jpg" in json.loads(done.stdout)["error"]


def test_print_config_is_the_commented_file_with_the_defaults(tmp_path):
    done = emotion_edge("run", "--print-config")
    assert done.returncode == 0
    assert done.stdout == template()
    (tmp_path / "own.toml").write_text(done.stdout)
    assert emotion_edge("doctor", "--config", tmp_path / "own.toml", "--camera", "demo").stdout


def test_the_error_for_a_typo_in_the_settings_names_the_right_key(tmp_path):
    (tmp_path / "typo.toml").write_text("[expression]\ndwel_s = 1.0\n")
    line = error_of("run", "--config", tmp_path / "typo.toml", status=78)
    assert "dwel_s" in line
    assert "dwell_s" in line


def test_a_missing_settings_file_is_a_configuration_error(tmp_path):
    assert "none.toml" in error_of("run", "--config", tmp_path / "none.toml", status=78)


def test_a_truncated_video_ends_with_a_data_error(tmp_path):
    whole = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (320, 240))
    for i in range(60):
        writer.write(np.full((240, 320, 3), i, np.uint8))
    writer.release()
    (tmp_path / "cut.avi").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    line = error_of("run", "--camera", f"video:{tmp_path / 'cut.avi'}", "--mqtt", NO_BROKER, status=65)
    assert "cut.avi" in line


def test_a_missing_video_is_no_input(tmp_path):
    line = error_of("run", "--camera", f"video:{tmp_path / 'none.mp4'}", "--mqtt", NO_BROKER, status=66)
    assert "none.mp4" in line


def test_a_folder_without_images_is_no_input(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    line = error_of("run", "--camera", f"images:{tmp_path}", "--mqtt", NO_BROKER, status=66)
    assert "contains no readable image" in line


def test_a_missing_device_is_no_input():
    line = error_of("run", "--camera", "v4l2:/dev/video99", "--mqtt", NO_BROKER, status=66)
    assert "/dev/video99" in line


def test_without_a_camera_no_demo_is_an_error():
    if list(Path("/dev").glob("video*")):
        pytest.skip("this machine has a video device")
    assert "camera" in error_of("run", "--no-demo", "--mqtt", NO_BROKER, status=69)


def test_the_error_for_missing_mesh_models_names_the_command(tmp_path):
    line = error_of("run", "--camera", "demo", "--mqtt", NO_BROKER, status=78, XDG_CACHE_HOME=str(tmp_path))
    assert "emotion-edge model fetch" in line


def test_a_mesh_model_with_another_hash_is_not_run(tmp_path, models):
    folder = tmp_path / "emotion-edge" / "mesh"
    folder.mkdir(parents=True)
    for path in (models.detector, models.landmarker):
        (folder / path.name).write_bytes(path.read_bytes()[:-1] + b"?")
    line = error_of("run", "--camera", "demo", "--mqtt", NO_BROKER, status=78, XDG_CACHE_HOME=str(tmp_path))
    assert "not the published model" in line


def test_a_folder_that_is_not_a_bundle_is_a_configuration_error(tmp_path):
    (tmp_path / "own.toml").write_text(f"[model]\nbundle = '{tmp_path}'\n")
    assert "manifest.json" in error_of("run", "--config", tmp_path / "own.toml", "--camera", "demo", status=78)


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["run", "--camra", "demo"], ["classify"], ["bench", "--frames", "1"]]
)
def test_a_wrong_command_line_is_a_usage_error(arguments):
    line = error_of(*arguments, status=64)
    assert "--help" in line or "--frames" in line


@pytest.mark.parametrize("command", ["run", "classify", "watch", "doctor", "bench", "record", "model"])
def test_every_command_has_help_with_an_example(command):
    done = emotion_edge(command, "--help")
    assert done.returncode == 0
    assert f"example: emotion-edge {command}" in done.stdout


def test_a_full_disk_is_reported_in_one_line(smile):
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is missing")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edge", "classify", "--json", str(smile)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=REPOSITORY,
        )  # fmt: skip
    assert done.returncode == os.EX_IOERR
    assert done.stderr.splitlines() == [
        "emotion-edge: no space left on the device; free some space and run the command again"
    ]


def test_a_closed_pipe_is_not_an_error(smile):
    done = subprocess.run(
        f"{sys.executable} -m edge classify --json {smile} {smile} {smile} | head -c 1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.stdout == "{0\n"
    assert done.stderr == ""


def test_model_verify_accepts_the_released_bundle_and_rejects_other_folders(tmp_path):
    assert emotion_edge("model", "verify").returncode == 0
    assert "manifest.json" in error_of("model", "verify", tmp_path, status=78)


@pytest.fixture
def use(tmp_path):
    """Options that configure a bundle."""

    def options(bundle: Path) -> tuple[str, str]:
        (tmp_path / "bundle.toml").write_text(f"[model]\nbundle = '{bundle}'\n")
        return "--config", str(tmp_path / "bundle.toml")

    return options


def test_model_list_shows_all_bundles(crop_bundle, use):
    folder = crop_bundle("landmarks_crop")
    done = emotion_edge("model", "list", "--json", *use(folder))
    assert done.returncode == 0, done.stderr
    first, *others = map(json.loads, done.stdout.splitlines())
    assert first == {
        "folder": str(folder),
        "in_use": True,
        "id": "landmarks_crop",
        "inputs": ["landmarks", "crop"],
        "labels": ["neutral", "happiness", "surprise"],
        "metrics": {"accuracy": 0.5, "macro_f1": 0.25},
        "network_bytes": (folder / "classifier.tflite").stat().st_size,
    }
    assert str(FUSED_BUNDLE) in {other["folder"] for other in others}
    assert not any(other["in_use"] for other in others)
    text = emotion_edge("model", "list", *use(folder)).stdout
    assert f"{folder} (in use): landmarks_crop" in text
    assert "reads landmarks and crop" in text
    assert "accuracy 0.500, macro-F1 0.250" in text


def test_model_list_shows_a_damaged_bundle_with_its_error(crop_bundle, use):
    folder = crop_bundle("crop")
    (folder / "golden.npz").unlink()
    done = emotion_edge("model", "list", *use(folder))
    assert done.returncode == 1
    assert "golden.npz cannot be read" in done.stdout.splitlines()[0]
    assert f"{FUSED_BUNDLE}: " in done.stdout, "the others are still listed"
    assert done.stderr == ""


def test_classify_with_a_bundle_that_reads_crops(smile, crop_bundle, use):
    done = emotion_edge("classify", "--json", *use(crop_bundle("landmarks_crop")), smile)
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["faces"]
    assert set(face["probabilities"]) == {"neutral", "happiness", "surprise"}
    assert face["quality"] > 0.8


def test_a_recording_does_not_work_with_a_bundle_that_reads_crops(smile, crop_bundle, use, tmp_path):
    file, options = tmp_path / "smile.landmarks", use(crop_bundle("crop"))
    assert emotion_edge("record", "--camera", f"images:{smile.parent}", *options, file).returncode == 0
    line = error_of("run", *options, "--camera", f"recording:{file}", "--mqtt", NO_BROKER, status=78)
    assert "model.bundle" in line
    findings = emotion_edge("doctor", "--json", *options, "--camera", f"recording:{file}", "--mqtt", NO_BROKER).stdout
    (bundle,) = [each for each in map(json.loads, findings.splitlines()) if each["check"] == "bundle"]
    assert "recording" in bundle["line"]
    assert not bundle["ok"]


def test_doctor_reports_only_the_missing_broker():
    done = emotion_edge("doctor", "--json", "--camera", "demo", "--mqtt", NO_BROKER)
    checks = {finding["check"]: finding for finding in map(json.loads, done.stdout.splitlines())}
    assert set(checks) == {
        "python", "libraries", "settings", "permissions", "disk", "bundle", "models", "camera", "broker", "clock"
    }  # fmt: skip
    assert not checks["broker"]["ok"]
    assert "does not answer" in checks["broker"]["line"]
    assert done.returncode == 69
    assert all(checks[name]["ok"] for name in ("python", "libraries", "bundle", "models", "camera"))


def test_doctor_with_a_real_broker_and_one_that_refuses(broker, new_broker):
    line = next(
        x for x in emotion_edge("doctor", "--camera", "demo", "--mqtt", broker.url).stdout.splitlines() if "broker" in x
    )
    assert line.startswith("ok")
    assert "MQTT 5" in line
    closed = new_broker(settings="allow_anonymous false", port=None)
    closed.start()
    line = next(
        x for x in emotion_edge("doctor", "--camera", "demo", "--mqtt", closed.url).stdout.splitlines() if "broker" in x
    )
    assert line.startswith("FAIL")
    assert "mqtt.username" in line


def test_record_writes_landmarks_that_can_be_played(smile, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(5):
        (pictures / f"{i}.png").write_bytes(smile.read_bytes())
    file = tmp_path / "smile.landmarks"
    done = emotion_edge("record", "--camera", f"images:{pictures}", file)
    assert done.returncode == 0, done.stderr
    assert "5 frames, 5 faces" in done.stdout
    played = emotion_edge("run", "--camera", f"recording:{file}", "--mqtt", NO_BROKER)
    assert played.returncode == 0, played.stderr
    assert "face 1: new happiness" in played.stderr
    assert "face 1: end" in played.stderr


def test_a_recording_can_be_recorded_again(smile, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "smile.png").write_bytes(smile.read_bytes())
    emotion_edge("record", "--camera", f"images:{pictures}", tmp_path / "first.landmarks")
    done = emotion_edge(
        "record", "--camera", f"recording:{tmp_path / 'first.landmarks'}", tmp_path / "second.landmarks"
    )
    assert done.returncode == 0, done.stderr
    assert "1 frames, 1 faces" in done.stdout


def test_record_does_not_overwrite_a_file(smile, tmp_path):
    (tmp_path / "old").write_text("precious")
    assert "old" in error_of("record", "--camera", f"images:{smile.parent}", tmp_path / "old", status=73)
    assert (tmp_path / "old").read_text() == "precious"


def test_bench_measures_everything_and_compares_the_bundles(crop_bundle, tmp_path):
    """Run in a folder with relative paths, another bundle in the settings, and another module named edge."""
    folder = crop_bundle("landmarks_crop")
    (tmp_path / "own.toml").write_text("[model]\nbundle = 'none'\n")
    (tmp_path / "edge.py").write_text("raise SystemExit('not the daemon')\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", SHORT_BENCH, "bench", "--json", "--frames", "60", "--config", "own.toml",
         "--model", folder.relative_to(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("INFO drawing 60 frames\n"), "it says at once what it does"
    report = json.loads(done.stdout)
    assert set(report["stages"]) == {
        "mesh", "bare landmark model", "features + classifier", "expression", "messages",
        "one face", "two faces", "still face", "no face",
    }  # fmt: skip
    assert all(row["p50_ms"] <= row["p95_ms"] for row in report["stages"].values())
    figures = {name: figure["value"] for name, figure in report["figures"].items()}
    assert figures["imports of the daemon, s"] > 0
    assert figures["first event after start, s"] > 0
    private, resident, peak = (
        figures[f"{what}, MB"]
        for what in ("private memory of the daemon", "resident memory of the daemon", "peak of resident memory")
    )
    assert 10 < private < resident <= peak < 1000
    assert report["figures"]["features + classifier + expression / mesh"]["at_most"] == 0.25, "it reads a crop"
    first, *others = report["bundles"]
    assert (first["folder"], first["inputs"]) == (str(folder), ["landmarks", "crop"])
    assert first["network_bytes"] == (folder / "classifier.tflite").stat().st_size
    assert str(FUSED_BUNDLE) in {other["folder"] for other in others}
    assert all(0 < bundle["classifier / bare landmark model"]["value"] < 1 for bundle in report["bundles"])


def test_an_option_names_the_model_bundle(smile, crop_bundle, use):
    other = use(crop_bundle("crop"))
    done = emotion_edge("classify", "--json", *other, "--model", LANDMARK_BUNDLE, smile)
    (face,) = json.loads(done.stdout)["faces"]
    assert len(face["probabilities"]) == 8, "that of the option, not that of the settings"
    findings = emotion_edge("doctor", *other, "--model", LANDMARK_BUNDLE, "--camera", "demo", "--mqtt", NO_BROKER)
    assert f"in {LANDMARK_BUNDLE} works on this machine" in findings.stdout


def test_run_reads_with_the_named_bundle(smile, tmp_path):
    own = tmp_path / "mine"
    shutil.copytree(LANDMARK_BUNDLE, own)
    manifest = json.loads((own / "manifest.json").read_text()) | {"id": "mine-1"}
    (own / "manifest.json").write_text(json.dumps(manifest))
    done = emotion_edge("run", "--model", own, "--camera", f"images:{smile.parent}", "--mqtt", NO_BROKER)
    assert done.returncode == 0, done.stderr
    assert "model mine-1" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--camera", "demo", "--mqtt", NO_BROKER),
        ("classify", "smile.png"),
        ("bench",),
        ("record", "--camera", "demo", "--seconds", "1", "none.landmarks"),
    ],
)
def test_a_named_folder_that_is_not_a_bundle_is_a_configuration_error(command, tmp_path):
    assert "manifest.json" in error_of(*command, "--model", tmp_path, status=78)
    assert "--model" in error_of(*command, "--model", "", status=64)


def test_bench_of_a_folder_that_is_not_a_bundle_is_a_configuration_error(tmp_path, use):
    assert "manifest.json" in error_of("bench", *use(tmp_path), status=78)


def test_the_default_settings_find_a_bundle():
    assert Installation.of(Settings()).bundle in {FUSED_BUNDLE, locate.DEVICE / locate.CURRENT}


def test_a_terminal_without_blocks_shows_the_events(broker, smile):
    camera, latin_1 = f"images:{smile.parent}", {"PYTHONIOENCODING": "iso-8859-1"}
    done = emotion_edge("run", "--watch", "--camera", camera, "--mqtt", broker.url, **latin_1)
    assert done.returncode == 0, done.stderr
    assert "happiness   ####" in done.stdout


def test_without_a_camera_the_demo_says_so_and_why_and_how_to_go_on():
    lines = welcome("demo", "kitchen", demo_reason="no camera found (none)", page="http://127.0.0.1:8080/")
    assert lines[0].startswith("DEMO: the face below is a drawn one")
    assert lines[1] == "  why:  no camera found (none)"
    assert "make run ARGS='--camera v4l2:/dev/video0'" in lines[2]
    assert lines[-3:] == ["  page: http://127.0.0.1:8080/", "  stop: Ctrl-C", ""]


def test_a_camera_is_named_without_the_word_demo():
    lines = welcome("v4l2:/dev/video0", "kitchen", demo_reason="", page=None)
    assert lines[0] == "device 'kitchen' reads v4l2:/dev/video0"
    assert "DEMO" not in "".join(lines)
    assert "  page: not served here: make run ARGS='--preview 127.0.0.1:8090' serves it at another port" in lines


@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="this machine may have a camera")
def test_a_recording_is_never_made_of_the_demo_by_itself(tmp_path):
    line = error_of("record", "--seconds", "1", tmp_path / "new.landmarks", status=69)
    assert line.startswith("emotion-edge: no camera found (")
    assert not (tmp_path / "new.landmarks").exists()


@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="this machine may have a camera")
def test_no_address_of_a_page_is_printed_before_the_camera_fails():
    done = emotion_edge("run", "--watch", "--no-demo", "--preview", "127.0.0.1:0", "--mqtt", NO_BROKER)
    assert done.returncode == 69
    assert "127.0.0.1:" not in done.stdout.replace(NO_BROKER, "")
