"""`emotion-train collect`: a keypoint table of one's own faces, or of others who have agreed to it."""

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Collect faces with their expressions for training: landmarks only, unless --keep-pictures says otherwise.\n\n"
        "`camera` serves the page of `emotion-edge run --preview` for collecting. There, say who it is and which\n"
        "session, tick that the person has agreed, and use the keys, or the buttons:\n"
        "  k      start recording        0 to 7  the expression, which can be changed while recording\n"
        "  n      stop                   u       undo the last take\n"
        "At most five rows a second are recorded, and only while there is exactly one face in view.\n"
        "`images` takes pictures that are sorted into a folder for each expression.\n\n"
        "All of it is added to a table. A person is in one split, for ever: subject ids make splits honest."
    )
    parser.epilog = (
        "example: emotion-train collect camera --camera v4l2:/dev/video0 --out mine.parquet\n"
        "         emotion-train collect camera --preview 0.0.0.0:8080 --preview-token-file token --out mine.parquet\n"
        "         emotion-train collect images photos/ --subject p07 --session monday --consent --out mine.parquet\n"
        "         emotion-train collect coverage --table mine.parquet\n"
        "         emotion-train collect remove --subject p07 --table mine.parquet"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    camera = actions.add_parser("camera", help="record from a camera, with a page to say what and when")
    add_settings_arguments(camera, camera=True)
    camera.add_argument("--preview", default="", metavar="ADDRESS", help="where to serve it (default: 127.0.0.1:8080)")
    camera.add_argument(
        "--preview-token-file",
        type=absolute_path,
        metavar="FILE",
        help="what one must know to open it, if ADDRESS is not loopback",
    )
    _add_person(camera, required=False)
    images = actions.add_parser("images", help="measure pictures, in a folder for each expression as in happy/1.jpg")
    images.add_argument("folder", metavar="DIR", type=Path, help="where they are")
    add_settings_arguments(images)
    shared_arguments.add_label(images, "a folder")
    _add_person(images, required=True)
    coverage = actions.add_parser("coverage", help="show what is in a table by people, expressions, poses and light")
    add_settings_arguments(coverage)
    _add_table(coverage)
    remove = actions.add_parser("remove", help="remove all rows, and kept pictures, of one person")
    remove.add_argument("--subject", required=True, metavar="ID", help="who it is")
    _add_table(remove)


def run(args: argparse.Namespace) -> int:
    """Do one of the four."""
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

    from edge.camera import open_lasting_camera
    from edge.daemon.signals import Signals
    from edge.errors import UsageError
    from host_training.collecting import session
    from host_training.collecting.collector import Collector
    from host_training.collecting.samples import checked_id

    given = {
        what: checked_id(what, getattr(args, what)) if getattr(args, what) else "" for what in ("subject", "session")
    }
    if settings.camera.is_recording:
        raise UsageError(f"{settings.camera.source}: a recording holds no pictures to measure; choose another --camera")
    # One frame at a time keeps one core busy; OpenCV's pool would only wake the others.
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
        # Never the demo unless it is asked for: it would be recorded for a person.
        camera = stack.enter_context(contextlib.closing(open_lasting_camera(settings.camera, allow_demo=False)))
        print(f"collecting from {camera.name}: open {preview.url}; Ctrl-C ends it", flush=True)
        session.run(camera, mesh, preview, collector, signals)
        collector.stop("")
    return _tell(args.out)


def _images(args: argparse.Namespace, settings: Settings, conditions: Conditions) -> int:
    """Measure pictures, one after the other."""
    from collections import Counter

    from tqdm import tqdm

    from edge.errors import EdgeError, UsageError
    from host_training import importers
    from host_training.collecting.collector import Sitter
    from host_training.collecting.measuring import measure
    from host_training.data.labels import LABELS
    from host_training.data.source import Options

    if not args.consent:
        raise UsageError(f"say with --consent that {CONSENT}")
    sitter = Sitter.agreed(args.subject, args.session, consent=True)
    labels = shared_arguments.labels(args)
    source = importers.load("folder", args.folder, Options(labels=labels, subject=sitter.subject))
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
                takes[row.label] = store.new_take(sitter.subject, sitter.session, LABELS.index(row.label))
            refusal = store.add(takes[row.label], measured)
            if refusal:
                dropped[refusal] += 1
            added += not refusal
    for reason, count in dropped.most_common():
        print(f"left out {count}: {reason}")
    print(f"added {added} rows of {sitter.subject}")
    return _tell(args.out)


def _coverage(args: argparse.Namespace, conditions: Conditions) -> int:
    """Count what is in a table."""
    from host_training.collecting import store
    from host_training.collecting.coverage import Coverage

    coverage = Coverage()
    coverage.add(store.cells_of(store.read(args.table), conditions))
    print(coverage.text())
    return 0


def _remove(args: argparse.Namespace) -> int:
    """Forget one person."""
    from host_training.collecting import store
    from host_training.collecting.samples import checked_id

    subject = checked_id("subject", args.subject)
    rows, pictures = store.remove(args.table, subject)
    kept = f" and {pictures} pictures" if pictures else ""
    print(
        f"removed {rows} rows{kept} of {subject} from {args.table}" + ("" if args.table.exists() else ", which is gone")
    )
    print("tables, stores of faces and models that were made from it still hold this person: make them again")
    return 0


def _tell(out: Path) -> int:
    """What is in the table now."""
    from host_training.data import counts, keypoints, parquet

    if not out.exists():
        print("nothing was recorded")
        return 0
    table = parquet.read(out)
    print(counts.by_label(table))
    empty = [split for split in keypoints.SPLITS if not (table.split == split).any()]
    if empty:
        print(
            f"no row is for {' or '.join(empty)}: collect more people, or add the table that comes with the project: "
            f"emotion-train merge model/keypoints/ferplus.parquet {out} --out all.parquet"
        )
    print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return 0


def _features(settings: Settings) -> Path:
    from edge.bundle.bundle import FEATURES
    from edge.bundle.locate import Installation

    return Installation.of(settings).bundle / FEATURES


def _mesh(settings: Settings) -> FaceMesh:
    """The mesh as `import` has it, whatever the settings say about that of the daemon."""
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
        f"pictures of faces are kept in {pictures.folder}; for `emotion-train crop` that is --pictures "
        f"folder:{pictures.folder}"
    )
    return pictures


def _preview(args: argparse.Namespace, settings: Settings, panel: Panel) -> Preview:
    from edge.preview import Preview
    from edge.preview.access import DEFAULT_ADDRESS
    from edge.secret_files import read_secret

    token = read_secret(str(args.preview_token_file), "--preview-token-file") if args.preview_token_file else ""
    return Preview(args.preview or DEFAULT_ADDRESS, token=token, device=settings.device_name, panel=panel)


def _complain(line: str) -> None:
    print(f"emotion-train: {line}", file=sys.stderr, flush=True)


def _add_person(parser: argparse.ArgumentParser, *, required: bool) -> None:
    where = "" if required else "; to begin with, the page can say otherwise"
    parser.add_argument("--subject", default="", required=required, metavar="ID", help=f"who it is, as in p07{where}")
    parser.add_argument("--session", default="", required=required, metavar="ID", help=f"which sitting{where}")
    parser.add_argument("--consent", action="store_true", help=CONSENT)
    parser.add_argument(
        "--keep-pictures", type=Path, metavar="DIR", help="keep pictures of the faces there, too, on this machine alone"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="TABLE", help="the Parquet file that grows")


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=Path, required=True, metavar="TABLE", help="made by `collect`")
