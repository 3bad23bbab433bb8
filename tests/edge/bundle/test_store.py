"""A bundle is installed completely and tested, or not at all; a rollback restores the previous one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge import cli
from edge.bundle import bundle as bundles
from edge.bundle import locate
from edge.bundle.store import BundleStore
from edge.errors import ConfigError, NoInputError, OutputError, PermissionRefusedError, UnavailableError
from edge.face_mesh import models as mesh_models
from host_training.training.bundle_files import hashes
from tests.support.bundle_folders import SWEEP, links, names

pytest_plugins = ["tests.support.bundle_folders", "tests.support.crop_bundles", "tests.support.signed_bundles"]
pytestmark = pytest.mark.usefixtures("quick_golden_faces")

REPOSITORY = Path(__file__).parents[3]


def test_the_first_bundle_is_installed(store, root, signed):
    assert store.install(signed("a", 5)) == "model bundle a is installed, after none"
    assert names(root) == {"a", "current", "counter", ".lock"}
    assert links(root) == {"current": "a"}
    assert (root / "counter").read_text() == "5\n"
    assert bundles.load(root / "current").id == "a"


def test_installed_bundles_are_readable_by_all_users(store, root, signed, models):
    folder = signed("a")
    shutil.copytree(models.folder, folder / "mesh")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)
    before = os.umask(0o077)
    try:
        store.install(folder)
        store.install(signed("b", 2))
    finally:
        os.umask(before)
    for bundle in (root / "a", root / "b"):
        assert all(path.stat().st_mode & 0o444 == 0o444 for path in (bundle, *bundle.rglob("*")))
        assert all(path.stat().st_mode & 0o111 == 0o111 for path in (bundle, bundle / "mesh"))


def test_the_previous_bundle_is_kept_and_restored(store, root, signed):
    store.install(signed("a", 1))
    assert store.install(signed("b", 2)) == "model bundle b is installed, after a"
    assert links(root) == {"current": "b", "previous": "a"}
    assert store.rollback() == "back to model bundle a, after b, as asked for"
    assert links(root) == {"current": "a", "previous": "b"}
    assert (root / "counter").read_text() == "2\n", "the counter never decreases"


def test_a_rollback_may_name_a_bundle(store, root, signed):
    for i, name in enumerate("abc"):
        store.install(signed(name, i))
    store.rollback("a")
    assert links(root) == {"current": "a", "previous": "c"}
    assert store.rollback("a") == "model bundle a is in use: nothing to do"
    assert links(root) == {"current": "a", "previous": "c"}


def test_a_missing_bundle_cannot_be_restored(store, signed):
    with pytest.raises(NoInputError, match="there is no bundle before the one in use; there are none"):
        store.rollback()
    store.install(signed("a"))
    with pytest.raises(NoInputError, match="there is no bundle before the one in use; there are a"):
        store.rollback()
    with pytest.raises(NoInputError, match="no model bundle x; there are a"):
        store.rollback("x")


def test_a_damaged_bundle_is_not_restored(store, root, signed):
    store.install(signed("a", 1))
    store.install(signed("b", 2))
    os.truncate(root / "a" / "golden.npz", 10)
    with pytest.raises(ConfigError, match=r"golden\.npz is not the file"):
        store.rollback()
    assert links(root)["current"] == "b"


def test_installing_the_same_bundle_again_does_nothing(store, root, signed):
    folder = signed("a")
    store.install(folder)
    inode = (root / "a").stat().st_ino
    assert store.install(folder) == "model bundle a is installed and in use: nothing to do"
    assert (root / "a").stat().st_ino == inode


def test_a_newly_signed_bundle_replaces_itself(store, root, signed):
    store.install(signed("a", 1))
    again = signed("a", 2)
    assert store.install(again) == "model bundle a is installed again"
    assert links(root) == {"current": "a"}
    assert (root / "a" / "manifest.json.minisig").read_bytes() == (again / "manifest.json.minisig").read_bytes()
    assert (root / "counter").read_text() == "2\n"
    assert names(root) == {"a", "current", "counter", ".lock"}


def test_a_damaged_installed_bundle_is_repaired(store, root, signed):
    folder = signed("a")
    store.install(folder)
    os.truncate(root / "a" / "classifier.tflite", 10)
    assert store.install(folder) == "model bundle a is installed again"
    assert bundles.load(root / "current").id == "a"


def test_a_lower_counter_is_rejected(store, root, signed):
    old = signed("a", 1)
    store.install(old)
    store.install(signed("b", 7))
    with pytest.raises(ConfigError, match=r"a-1: its counter, 1, is below that of one installed before, 7;.*rollback"):
        store.install(old)
    store.rollback()
    with pytest.raises(ConfigError, match="its counter, 6"):
        store.install(signed("c", 6))
    assert links(root)["current"] == "a"


def test_without_a_counter_file_that_of_the_bundle_in_use_applies(store, root, signed):
    root.mkdir()
    shutil.copytree(signed("a", 7), root / "a")
    (root / "current").symlink_to("a")
    with pytest.raises(ConfigError, match="its counter, 6, is below that of one installed before, 7"):
        store.install(signed("b", 6))


def test_a_rollback_without_a_counter_file_does_not_lower_the_counter(store, root, signed):
    store.install(signed("a", 1))
    store.install(signed("b", 7))
    (root / "counter").unlink()
    store.rollback()
    with pytest.raises(ConfigError, match="its counter, 6, is below that of one installed before, 7"):
        store.install(signed("c", 6))


def test_a_damaged_counter_file_is_an_error(store, root, signed):
    store.install(signed("a", 1))
    (root / "counter").write_text("seven")
    with pytest.raises(ConfigError, match="counter: is damaged; remove it"):
        store.install(signed("b", 2))


@pytest.mark.parametrize("counter", [None, -1, 1.5, True, "1"])
def test_an_invalid_counter_is_rejected(store, signed, sign_by_hand, counter):
    folder = signed("a")
    sign_by_hand(folder, counter=counter)
    with pytest.raises(ConfigError, match=r"counter = .* is not allowed; give a whole number, at least 0"):
        store.install(folder)


INVALID_NAMES = ["", "..", "a/b", ".a", "a b", "a\nb", "a" * 101]
RESERVED = ["current", "previous", "shadow", "landmarks", "counter"]


@pytest.mark.parametrize("name", INVALID_NAMES + RESERVED)
def test_an_unsuitable_id_is_rejected(store, root, signed, sign_by_hand, name):
    folder = signed("a")
    sign_by_hand(folder, id=name)
    with pytest.raises(ConfigError, match="on a device it cannot be called" if name in RESERVED else "id = .* not "):
        store.install(folder)
    assert names(root) == {".lock"}


REFUSALS = {
    "unsigned": (lambda folder: (folder / "manifest.json.minisig").unlink(), r"no manifest\.json\.minisig"),
    "altered manifest": (lambda folder: _rewrite(folder, counter=99), "altered after it was signed"),
    "truncated file": (lambda folder: os.truncate(folder / "classifier.tflite", 99), "not the file"),
    "missing file": (lambda folder: (folder / "features.npz").unlink(), "cannot be read"),
    "extra file": (lambda folder: (folder / "extra").write_text(""), "'extra' is in it"),
    "another folder": (lambda folder: (folder / "more").mkdir(), "'more' is in it"),
    "another file in mesh": (lambda folder: _mesh(folder, "x"), "'mesh/x' is in it"),
    "half a mesh": (lambda folder: _mesh(folder, "face_detector.tflite"), "not the published model"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "cannot be read"),
}


def _rewrite(folder: Path, **values) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _mesh(folder: Path, name: str) -> None:
    (folder / "mesh").mkdir()
    (folder / "mesh" / name).write_text("")


@pytest.mark.parametrize("case", REFUSALS)
def test_a_rejected_bundle_changes_nothing(store, root, signed, case):
    change, reason = REFUSALS[case]
    store.install(signed("a", 1))
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"}
    folder = signed("b", 2)
    change(folder)
    with pytest.raises(ConfigError, match=reason) as caught:
        store.install(folder)
    assert str(folder) in str(caught.value), "the error names the given folder"
    assert "\n" not in str(caught.value)
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*") if path.name != ".lock"} == before


def test_another_key_is_rejected(store, root, signed, keys):
    with pytest.raises(ConfigError, match=keys[1].id):
        store.install(signed("a", key=keys[1]))
    assert names(root) == {".lock"}


def test_a_failing_self_test_rejects_the_bundle(store, signed, sign_by_hand):
    folder = signed("a")
    with np.load(folder / "golden.npz") as golden:
        wrong = {**golden, "probabilities": np.roll(golden["probabilities"], 1, axis=1)}
    np.savez(folder / "golden.npz", **wrong)
    sign_by_hand(folder, files=hashes(folder))
    with pytest.raises(ConfigError, match=f"{folder}: it gives other probabilities here"):
        store.install(folder)


def test_a_network_that_crashes_the_interpreter_is_rejected(store, root, signed, crashing):
    store.install(signed("a", 1))
    with pytest.raises(ConfigError, match=r"the interpreter crashes on it \(SIG|cannot load this model"):
        store.install(crashing)
    assert links(root) == {"current": "a"}


def test_a_missing_folder_is_reported(store, tmp_path):
    with pytest.raises(NoInputError, match="no such folder"):
        store.install(tmp_path / "nothing")


def test_the_face_mesh_of_the_bundle_in_use_is_copied(store, root, signed, models):
    folder = signed("a", 1)
    shutil.copytree(models.folder, folder / "mesh")
    store.install(folder)
    store.install(signed("b", 2))
    assert names(root / "b" / "mesh") == names(root / "a" / "mesh")
    shutil.rmtree(root / "a")
    assert mesh_models.find([root / "b" / "mesh"]).folder == root / "b" / "mesh"


def test_the_last_three_and_all_linked_bundles_are_kept(store, root, signed):
    store.install(signed("landmark-bundle", 0))
    (root / "landmarks").symlink_to("landmark-bundle")
    for i, name in enumerate("abcd", 1):
        store.install(signed(name, i))
    assert names(root) >= {"landmark-bundle", "b", "c", "d"}
    assert "a" not in names(root)
    store.rollback("b")
    store.install(signed("e", 5))
    store.install(signed("f", 6))
    assert names(root) == {
        "landmark-bundle", "d", "e", "f", "landmarks", "current", "previous", "counter", ".lock"
    }  # fmt: skip


def test_one_installation_at_a_time(store, root, signed):
    store.install(signed("a"))
    with (root / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="another process is installing a model bundle"):
            store.install(signed("b", 2))
        with pytest.raises(UnavailableError, match="another process is installing a model bundle"):
            store.rollback()
    assert store.install(signed("c", 3))


def test_a_current_that_is_not_a_link_is_not_overwritten(store, root, signed):
    (root / "current").mkdir(parents=True)
    with pytest.raises(ConfigError, match="current: is not a link to a bundle"):
        store.install(signed("a"))
    assert (root / "current").is_dir()


def test_a_missing_permission_is_reported(store, root, signed):
    folder = signed("a")
    if os.geteuid():
        root.mkdir(mode=0o500)
        with pytest.raises(PermissionRefusedError, match="use sudo"):
            store.install(folder)
    else:
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionRefusedError, match="use sudo"):
                store.install(folder)
        finally:
            os.seteuid(0)


def test_a_full_disk_loses_nothing(root, keys, signed):
    root.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", root], check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        store = BundleStore(root, keys[0].trusted, trial_s=0)
        store.install(signed("a", 1))
        free = shutil.disk_usage(root).free
        (root / "ballast").write_bytes(bytes(free - 20_000))
        with pytest.raises(OutputError, match="No space left on device"):
            store.install(signed("b", 2))
        assert names(root) == {"a", "current", "counter", ".lock", "ballast"}
        assert bundles.load(root / "current", keys[0].trusted).id == "a"
    finally:
        subprocess.run(["umount", root], check=True)


def test_every_switch_is_in_the_journal(store, signed, tmp_path, monkeypatch):
    monkeypatch.setattr("edge.device.journal.JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setattr("edge.device.journal.library", lambda _name: None)  # systemd-python has its own socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(30)
        store.install(signed("a", 1))
        store.install(signed("b", 2))
        store.rollback()
        entries = [journal.recv(4096).decode().splitlines() for _ in range(3)]
    assert "MESSAGE=model bundle b is installed, after a" in entries[1]
    assert {"MESSAGE=back to model bundle a, after b, as asked for", "BUNDLE=a", "BUNDLE_BEFORE=b"} <= set(entries[2])


@pytest.fixture
def device(root, monkeypatch, keys, tmp_path):
    """Run `emotion-edge model` with `root` as the device's folder; returns its exit status."""
    monkeypatch.setattr(locate, "DEVICE", root)
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[model]\ntrusted_keys = '{keys[0].public}'\n")

    def model(action: str, *arguments: object, trial: str = "0") -> int:
        options = ["--trial", trial] if action == "install" else []
        return cli.main(["model", action, "--config", str(settings), *options, *map(str, arguments)])

    return model


def test_the_commands(device, root, signed, keys, capsys):
    old = signed("a", 1)
    assert device("install", old) == 0
    assert device("install", signed("b", 2)) == 0
    assert device("install", old) == 78
    assert device("install", signed("c", 3, key=keys[1])) == 78
    assert device("verify") == 0
    assert device("rollback") == 0
    assert device("rollback", "b") == 0
    assert device("rollback", "x") == 66
    assert device("uninstall") == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [
        "model bundle a is installed, after none",
        "model bundle b is installed, after a",
        f"{root / 'current'}: b is complete and gives the expected results on this machine",
        "back to model bundle a, after b, as asked for",
        "back to model bundle b, after a, as asked for",
        "model bundle b is removed from this machine; in use: a",
    ]
    where = (
        f"In {root}, for all users of this machine. Its service uses the bundle after `sudo systemctl reload "
        "emotion-edge`; `sudo emotion-edge model uninstall` undoes this."
    )
    assert output.err.splitlines().count(where) == 2
    errors = [line for line in output.err.splitlines() if line.startswith("emotion-edge: ")]
    assert [word in line for word, line in zip(("below", keys[1].id, "no model bundle x"), errors, strict=True)]


def test_the_commands_for_a_shadow(device, root, signed, capsys):
    device("install", signed("a", 1))
    folder = signed("b", 2)
    assert device("install", folder, "--shadow", "--check") == 0
    assert device("install", folder, "--shadow") == 0
    assert device("install", folder, "--check") == 0
    assert device("shadow-off") == 0
    assert device("shadow-off") == 0
    output = capsys.readouterr()
    assert output.err.count("model shadow-off` undoes this") == 1
    assert output.out.splitlines()[1:] == [
        "would install model bundle b as the shadow of a",
        "model bundle b is installed as the shadow of a",
        "would install model bundle b, after a",
        "model bundle b is no longer a shadow",
        "no model bundle runs as a shadow: nothing to do",
    ]
    assert links(root) == {"current": "a"}


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "4s"])
def test_an_invalid_time_of_the_trial_is_rejected(device, root, signed, seconds, capsys):
    assert device("install", signed("a"), trial=seconds) == os.EX_USAGE
    assert "--trial" in capsys.readouterr().err
    assert not root.exists()


def test_the_list_shows_the_roles_of_bundles(device, root, signed, capsys):
    device("install", signed("a", 1))
    device("install", signed("b", 2))
    device("install", signed("c", 3), "--shadow")
    capsys.readouterr()
    device("list", "--json")
    first, second, third, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["folder"], first["in_use"], first["roles"]) == (str(root / "current"), True, ["current"])
    assert (second["folder"], second["in_use"], second["roles"]) == (str(root / "a"), False, ["previous"])
    assert (third["folder"], third["in_use"], third["roles"]) == (str(root / "c"), False, ["shadow"])
    device("list")
    lines = capsys.readouterr().out.splitlines()
    assert f"{root / 'current'} (in use, current): b" in lines
    assert f"{root / 'a'} (previous): a" in lines


def test_a_shadow_is_kept_and_changes_nothing_else(store, root, signed):
    store.install(signed("a", 1))
    assert store.install(signed("b", 2), shadow=True) == "model bundle b is installed as the shadow of a"
    assert links(root) == {"current": "a", "shadow": "b"}
    assert (root / "counter").read_text() == "1\n", "it has not been in use"
    for i, name in enumerate("cdef", 3):
        store.install(signed(name, i))
    assert links(root) == {"current": "f", "previous": "e", "shadow": "b"}
    assert names(root) >= {"b", "d", "e", "f"}
    assert "a" not in names(root)


def test_a_rejected_bundle_does_not_become_the_shadow(store, root, signed, crashing):
    store.install(signed("a", 5))
    for folder in (crashing, signed("b", 4)):
        with pytest.raises(ConfigError):
            store.install(folder, shadow=True)
    assert links(root) == {"current": "a"}


def test_a_shadow_needs_another_bundle_in_use(store, root, signed):
    with pytest.raises(NoInputError, match="no bundle is in use, so there is nothing to be a shadow of"):
        store.install(signed("a"), shadow=True)
    store.install(signed("b", 2))
    assert store.install(signed("b", 3), shadow=True).endswith("cannot be its own shadow: nothing to do")
    assert links(root) == {"current": "b"}


@pytest.fixture
def shadowed(store, signed) -> Path:
    """A store with bundle a in use and b, with a higher counter, as the shadow. Returns the source folder of b."""
    folder = signed("b", 2)
    store.install(signed("a", 1))
    store.install(folder, shadow=True)
    return folder


def test_installing_the_same_shadow_again_does_nothing(store, root, shadowed):
    assert store.install(shadowed, shadow=True) == "model bundle b is installed and the shadow: nothing to do"
    assert links(root) == {"current": "a", "shadow": "b"}


def test_an_installed_shadow_is_in_use_and_no_longer_the_shadow(store, root, shadowed):
    assert store.install(shadowed) == "model bundle b is installed, after a"
    assert links(root) == {"current": "b", "previous": "a"}
    assert (root / "counter").read_text() == "2\n"


def test_a_rollback_may_name_the_shadow(store, root, shadowed, signed):
    assert shadowed
    assert store.rollback("b") == "back to model bundle b, after a, as asked for"
    assert links(root) == {"current": "b", "previous": "a"}
    with pytest.raises(ConfigError, match="its counter, 1, is below that of one installed before, 2"):
        store.install(signed("c", 1))


def test_a_shadow_is_turned_off(store, root, shadowed):
    assert shadowed
    assert store.shadow_off() == "model bundle b is no longer a shadow"
    assert links(root) == {"current": "a"}
    assert store.shadow_off() == "no model bundle runs as a shadow: nothing to do"


def test_check_reports_what_would_be_done_and_changes_nothing(store, root, signed, shadowed):
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    results = [
        store.check(signed("c", 3)),
        store.check(signed("d", 3), shadow=True),
        store.check(shadowed),
        store.check(shadowed, shadow=True),
        store.check(root.parent / "signed" / "a-1"),
        store.check(signed("a", 4)),
    ]
    assert results == [
        "would install model bundle c, after a",
        "would install model bundle d as the shadow of a",
        "would install model bundle b, after a",
        "model bundle b is installed and the shadow: nothing to do",
        "model bundle a is installed and in use: nothing to do",
        "would install model bundle a again",
    ]
    with pytest.raises(ConfigError, match="its counter, 0, is below"):
        store.check(signed("e", 0))
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_check_creates_no_store(store, root, signed, crashing):
    assert store.check(signed("a")) == "would install model bundle a, after none"
    with pytest.raises(ConfigError, match=r"the interpreter crashes on it \(SIG|cannot load this model"):
        store.check(crashing)
    assert not root.exists()


def test_check_needs_no_lock(store, root, signed):
    store.install(signed("a"))
    folder = signed("b", 2)
    with (root / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert store.check(folder) == "would install model bundle b, after a"


def sweep(root: Path, public: Path, action: str, what: object) -> list[dict]:
    done = subprocess.run(
        [sys.executable, SWEEP, root, public, action, str(what)],
        capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def used(store, root, signed) -> Path:
    """A store with bundles o, a and b, of which b is in use; one more would remove the oldest."""
    for i, name in enumerate("oab"):
        store.install(signed(name, i))
    return root


LEFT = {"current", "previous", "counter", ".lock"}


def test_an_installation_killed_at_any_step_leaves_the_old_or_the_new_bundle(used, signed, keys):
    attempts = sweep(used, keys[0].public, "install", signed("c", 3))
    steps = [attempt["step"] for attempt in attempts]
    assert {step.split()[0] for step in steps[:-1]} >= {
        "fcntl.flock", "os.mkdir", "open", "subprocess.Popen", "os.rename", "os.symlink", "os.remove", "os.rmdir"
    }  # fmt: skip
    in_use = [attempt["in_use"] for attempt in attempts]
    switched = in_use.index(["c", 3])
    assert in_use == [["b", 2]] * switched + [["c", 3]] * (len(in_use) - switched)
    assert 10 < switched < len(in_use) - 1
    for attempt in attempts:
        done = attempt["in_use"][0] == "c"
        assert attempt["again"].endswith("nothing to do" if done else "c is installed, after b")
        assert attempt["counter"] == "3\n"
        left = set(attempt["left"])
        assert {name for name in left if name.startswith(".")} == {".lock"}
        assert (attempt["left"]["current"], attempt["left"]["previous"]) == ("c", "b")
        assert left - {"o"} == LEFT | {"a", "b", "c"}


def test_replacing_a_bundle_killed_at_any_step_leaves_the_old_or_the_new_one(used, signed, keys):
    attempts = sweep(used, keys[0].public, "install", signed("b", 3))
    assert "ctypes.dlsym" in {attempt["step"].split()[0] for attempt in attempts[:-1]}
    in_use = [attempt["in_use"] for attempt in attempts]
    switched = in_use.index(["b", 3])
    assert in_use == [["b", 2]] * switched + [["b", 3]] * (len(in_use) - switched)
    for attempt in attempts:
        assert attempt["counter"] == "3\n"
        assert set(attempt["left"]) == LEFT | {"o", "a", "b"}
        assert (attempt["left"]["current"], attempt["left"]["previous"]) == ("b", "a")


def test_a_rollback_killed_at_any_step_leaves_one_of_the_two(used, keys):
    attempts = sweep(used, keys[0].public, "rollback", "a")
    in_use = [attempt["in_use"] for attempt in attempts]
    switched = in_use.index(["a", 1])
    assert in_use == [["b", 2]] * switched + [["a", 1]] * (len(in_use) - switched)
    for attempt in attempts:
        assert set(attempt["left"]) == LEFT | {"o", "a", "b"}
        assert (attempt["left"]["current"], attempt["left"]["previous"]) == ("a", "b")


def test_installing_a_shadow_killed_at_any_step_never_affects_the_bundle_in_use(used, signed, keys):
    attempts = sweep(used, keys[0].public, "shadow", signed("c", 3))
    steps = [attempt["step"] for attempt in attempts[:-1]]
    assert {"os.symlink", "os.rename", "subprocess.Popen"} <= {step.split()[0] for step in steps}
    assert {tuple(attempt["in_use"]) for attempt in attempts} == {("b", 2)}
    for attempt in attempts:
        assert attempt["again"].endswith(("nothing to do", "c is installed as the shadow of b"))
        assert attempt["counter"] == "2\n"
        assert set(attempt["left"]) == LEFT | {"a", "b", "c", "shadow"} | (set(attempt["left"]) & {"o"})
        assert [attempt["left"][name] for name in ("current", "previous", "shadow")] == ["b", "a", "c"]


@pytest.mark.parametrize("action", ["install", "rollback"])
def test_switching_to_the_shadow_killed_at_any_step_leaves_the_old_or_the_new_bundle(store, used, signed, keys, action):
    folder = signed("c", 3)
    store.install(folder, shadow=True)
    attempts = sweep(used, keys[0].public, action, folder if action == "install" else "c")
    in_use = [attempt["in_use"] for attempt in attempts]
    switched = in_use.index(["c", 3])
    assert in_use == [["b", 2]] * switched + [["c", 3]] * (len(in_use) - switched)
    for attempt in attempts:
        left = attempt["left"]
        assert attempt["counter"] == "3\n"
        assert (left["current"], left["previous"]) == ("c", "b")
        assert "shadow" not in left
        assert {name for name in left if name.startswith(".")} <= {".lock"}


def test_turning_a_shadow_off_killed_at_any_step_never_affects_the_bundle_in_use(store, used, signed, keys):
    store.install(signed("c", 3), shadow=True)
    attempts = sweep(used, keys[0].public, "shadow-off", "")
    assert len(attempts) > 2
    for attempt in attempts:
        assert attempt["in_use"] == ["b", 2]
        assert "shadow" not in attempt["left"]
