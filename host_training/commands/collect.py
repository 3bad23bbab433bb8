"""`emotion-train collect`: make a keypoint table of your own face, or of people who have agreed to it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli import absolute_path, add_settings_arguments, load_settings
from host_training.commands import shared_arguments

if TYPE_CHECKING:
    import argparse

    from edge.face_mesh import FaceMesh
    from edge.preview import Preview
    from edge.preview.panel import Panel
    from edge.settings import Settings
    from host_training.collecting.measuring import Conditions
    from host_training.collecting.pictures import Pictures
    from host_training.collecting.store import Store

CONSENT = "the person has agreed that the landmarks of their face, and the pictures if they are kept, are used to train"
"""Meaning of --consent."""

ADDRESS = "127.0.0.1:8081"
"""Default of --preview. The daemon's own page is at 8080."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Collect faces with their expressions for training: landmarks only, unless you give --keep-pictures.\n\n"
        "`camera` serves the page of `emotion-edge run --preview`, with a panel for collecting. Enter the subject and\n"
        "the session, tick that the person has agreed, and use the keys or the buttons:\n"
        "  k      start recording        0 to 7  the expression, which can be changed while recording\n"
        "  n      stop                   u       undo the last take\n"
        "At most five rows a second are recorded, and only while exactly one face is in view.\n"
        "`images` measures pictures that are sorted into a folder for each expression.\n\n"
        "All rows are added to a table. A person stays in one split for good: subject ids keep the splits honest."
    )
    parser.epilog = (
        "example: emotion-train collect camera --camera v4l2:/dev/video0 --out mine.parquet\n"
        "         emotion-train collect camera --preview 0.0.0.0:8081 --preview-token-file token --out mine.parquet\n"
        "         emotion-train collect images photos/ --subject p07 --session monday --consent --out mine.parquet\n"
        "         emotion-train collect coverage --table mine.parquet\n"
        "         emotion-train collect remove --subject p07 --table mine.parquet"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    camera = actions.add_parser("camera", help="record from a camera, controlled by a page")
    add_settings_arguments(camera, camera=True)
    camera.add_argument("--preview", default="", metavar="ADDRESS", help=f"address of the page (default: {ADDRESS})")
    camera.add_argument(
        "--preview-token-file",
        type=absolute_path,
        metavar="FILE",
        help="file with the token that opens it, needed if ADDRESS is not loopback",
    )
    _add_person(camera, required=False)
    images = actions.add_parser("images", help="measure pictures in a folder for each expression, such as happy/1.jpg")
    images.add_argument("folder", metavar="DIR", type=Path, help="the folder that contains them")
    add_settings_arguments(images)
    shared_arguments.add_label(images, "a folder")
    _add_person(images, required=True)
    coverage = actions.add_parser("coverage", help="count the rows of a table by people, expressions, poses and light")
    add_settings_arguments(coverage)
    _add_table(coverage)
    remove = actions.add_parser("remove", help="remove all rows and kept pictures of one person")
    remove.add_argument("--subject", required=True, metavar="ID", help="id of the person")
    _add_table(remove)


def run(args: argparse.Namespace) -> int:
    """Run one of the four actions."""
    if args.action == "remove":
        return _remove(args)
    from host_training.collecting.measuring import Conditions

    settings = load_settings(args)
    conditions = Conditions(_features(settings))
    if args.action == "coverage":
        return _coverage(args, conditions)
    return (_camera if args.action == "camera" else _images)(args, settings, conditions)


def _camera(args: argparse.Namespace, settings: Settings, conditions: Conditions) -> int:
    """Serve the page, and record."""
    import cv2

    from edge.camera import open_reopening_camera
    from edge.daemon.signals import Signals
    from edge.errors import UsageError
    from host_training.collecting import session
    from host_training.collecting.collector import Collector
    from host_training.collecting.samples import checked_id

    given = {
        what: checked_id(what, getattr(args, what)) if getattr(args, what) else "" for what in ("subject", "session")
    }
    if settings.camera.is_recording:
        raise UsageError(f"{settings.camera.source}: a recording has no pictures to measure; choose another --camera")
    # Frames are measured one at a time, on one core; OpenCV's thread pool would only wake the others.
    cv2.setNumThreads(1)
    signals = Signals()
    signals.listen()
    with contextlib.ExitStack() as stack:
        mesh = stack.enter_context(contextlib.closing(_mesh(settings)))
        store = stack.enter_context(_store(args, conditions))
        collector = Collector(
            store, **given, consent=args.consent, pictures=args.keep_pictures is not None, say=_complain
        )
        preview = stack.enter_context(contextlib.closing(_preview(args, settings, collector)))
        # The demo only if it is asked for: its face would be recorded as a person's.
        camera = stack.enter_context(contextlib.closing(open_reopening_camera(settings.camera, allow_demo=False)))
        print(f"collecting from {camera.name}: open {preview.url}; Ctrl-C ends it", flush=True)
        session.run(camera, mesh, preview, collector, signals)
        collector.stop("")
    return _summarise(args.out)


def _images(args: argparse.Namespace, settings: Settings, conditions: Conditions) -> int:
    """Measure pictures, one after the other."""
    from collections import Counter

    from tqdm import tqdm

    from edge.errors import EdgeError, UsageError
    from host_training import importers
    from host_training.collecting.collector import Person
    from host_training.collecting.measuring import measure
    from host_training.data.labels import LABELS
    from host_training.data.source import Options

    if not args.consent:
        raise UsageError(f"give --consent, which states that {CONSENT}")
    person = Person.agreed(args.subject, args.session, consent=True)
    labels = shared_arguments.labels(args)
    source = importers.load("folder", args.folder, Options(labels=labels, subject=person.subject))
    dropped = Counter(source.dropped)
    added = 0
    with contextlib.closing(_mesh(settings)) as mesh, _store(args, conditions) as store:
        takes = {}
        for row in tqdm(source.rows, desc="measuring faces", unit=" pictures"):
            if row.label is None:
                continue
            try:
                measured = measure(mesh, row.picture.load())
            except EdgeError as error:
                measured = str(error)
            if isinstance(measured, str):
                dropped[measured] += 1
                continue
            if row.label not in takes:
                takes[row.label] = store.new_take(person.subject, person.session, LABELS.index(row.label))
            refusal = store.add(takes[row.label], measured)
            if refusal:
                dropped[refusal] += 1
            added += not refusal
    for reason, count in dropped.most_common():
        print(f"left out {count}: {reason}")
    print(f"added {added} rows of {person.subject}")
    return _summarise(args.out)


def _coverage(args: argparse.Namespace, conditions: Conditions) -> int:
    """Print the coverage of a table."""
    from host_training.collecting import store
    from host_training.collecting.coverage import Coverage

    coverage = Coverage()
    coverage.add(store.cells_of(store.read(args.table), conditions))
    print(coverage.text())
    return 0


def _remove(args: argparse.Namespace) -> int:
    """Remove one person."""
    from host_training.collecting import store
    from host_training.collecting.samples import checked_id

    subject = checked_id("subject", args.subject)
    rows, pictures = store.remove(args.table, subject)
    kept = f" and {pictures} pictures" if pictures else ""
    print(
        f"removed {rows} rows{kept} of {subject} from {args.table}"
        + ("" if args.table.exists() else ", which is now empty and was deleted")
    )
    print("tables, crop stores and models that were made from it still contain this person: create them again")
    return 0


def _summarise(out: Path) -> int:
    """Print what is in the table now."""
    from host_training.data import counts, keypoints, parquet

    if not out.exists():
        print("nothing was recorded")
        return 0
    table = parquet.read(out)
    print(counts.by_label(table))
    empty = [split for split in keypoints.SPLITS if not (table.split == split).any()]
    if empty:
        print(
            f"there are no rows for {' or '.join(empty)}; collect more people, or add another table: "
            f"emotion-train merge {_another_table()} {out} --out all.parquet"
        )
    print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _another_table() -> str:
    """The table that comes with a checkout, as it would be typed here; a placeholder outside of a checkout."""
    import shlex

    from edge import hints

    folder = hints.checkout()
    if folder is None:
        return "TABLE"
    table = folder / "model" / "keypoints" / "ferplus.parquet"
    return shlex.quote(str(table.relative_to(Path.cwd()) if table.is_relative_to(Path.cwd()) else table))


def _features(settings: Settings) -> Path:
    from edge.bundle.bundle import FEATURES
    from edge.bundle.locate import Installation

    return Installation.of(settings).bundle / FEATURES


def _mesh(settings: Settings) -> FaceMesh:
    """The face mesh as `import` uses it, whatever the settings say about the daemon's."""
    from edge.bundle.locate import Installation
    from edge.face_mesh import open_face_mesh
    from edge.settings import MeshSettings
    from host_training.collecting.measuring import MAX_FACES

    return open_face_mesh(MeshSettings(max_faces=MAX_FACES), Installation.of(settings).mesh_models())


def _store(args: argparse.Namespace, conditions: Conditions) -> Store:
    from host_training.collecting.store import Store

    return Store(args.out, conditions, pictures=_pictures(args), say=_complain)


def _pictures(args: argparse.Namespace) -> Pictures | None:
    if args.keep_pictures is None:
        return None
    from host_training.collecting.pictures import Pictures

    pictures = Pictures(args.keep_pictures)
    print(
        f"pictures of faces are kept in {pictures.folder}; give them to `emotion-train crop` with --pictures "
        f"folder:{pictures.folder}"
    )
    return pictures


def _preview(args: argparse.Namespace, settings: Settings, panel: Panel) -> Preview:
    from edge.preview import Preview
    from edge.secret_files import read_secret

    token = read_secret(str(args.preview_token_file), "--preview-token-file") if args.preview_token_file else ""
    return Preview(args.preview or ADDRESS, token=token, device=settings.device_name, panel=panel)


def _complain(line: str) -> None:
    print(f"emotion-train: {line}", file=sys.stderr, flush=True)


def _add_person(parser: argparse.ArgumentParser, *, required: bool) -> None:
    where = "" if required else "; initial value of the page"
    parser.add_argument(
        "--subject", default="", required=required, metavar="ID", help=f"id of the person, such as p07{where}"
    )
    parser.add_argument("--session", default="", required=required, metavar="ID", help=f"id of the session{where}")
    parser.add_argument("--consent", action="store_true", help=CONSENT)
    parser.add_argument(
        "--keep-pictures", type=Path, metavar="DIR", help="also keep pictures of the faces, in this folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="Parquet file to extend")


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=Path, required=True, metavar="TABLE", help="keypoint table, made by `collect`")
