"""The user's own pictures: a folder for each expression, perhaps below a folder for each split or person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from host_training.data.keypoints import TRAIN
from host_training.data.source import ImageFile, Row, Source
from host_training.importers.label_names import LEAVE_OUT, LabelNames, reason
from host_training.importers.layout import SPLIT_FOLDERS, pictures, unknown_layout

if TYPE_CHECKING:
    from pathlib import Path

    from host_training.data.source import Options

SUMMARY = "pictures of your own: a folder with one for each expression, as in happy/1.jpg or train/happy/1.jpg"
OPTIONS = frozenset({"labels", "subject", "subject_pattern"})
LAYOUTS = ("a folder with happy/1.jpg, or train/happy/1.jpg, and so on",)


def load(path: Path, options: Options) -> Source:
    """Read a folder.

    A picture gets the label of the nearest folder that is named after an expression; the folders above that may name a
    split. If no subjects are known, rows without a split are for training: with frames of one person in two splits, the
    figures would measure memory.

    Raises:
        OSError: a folder cannot be read.
        SourceError: no picture in it has a label.
        UsageError: `options.labels` names a folder that does not exist.
    """
    names = LabelNames(options.labels)
    source = Source(path.resolve().name or "folder", [])
    subject_known = bool(options.subject or options.subject_pattern)
    unsplit = 0
    for file, folders in pictures(path, source.dropped):
        if not folders:
            source.dropped["the picture is in no folder that could name its expression"] += 1
            continue
        found = [(depth, label) for depth, name in enumerate(folders) if (label := names.find(name))]
        depth, label = found[-1] if found else (len(folders) - 1, None)
        if label == LEAVE_OUT or (label is None and not options.any_name):
            source.dropped[reason("folder", folders[depth], label)] += 1
            continue
        above = [SPLIT_FOLDERS[name.lower()] for name in folders[:depth] if name.lower() in SPLIT_FOLDERS]
        split = above[-1] if above else ""
        if not split and not subject_known:
            split = TRAIN
            unsplit += 1
        source.rows.append(Row(file.relative_to(path).as_posix(), ImageFile(file), label, split=split))
    names.ensure_all_met("folder")
    if not source.rows:
        raise unknown_layout(path, LAYOUTS, source.dropped)
    if unsplit and not options.split:
        source.notes.append(
            f"all {unsplit} pictures are for training: it is unknown who is in them, so one person could be in two "
            "splits, and the figures would measure memory; give --subject-pattern or --subject, or put a whole folder "
            "into one split with --split"
        )
    return source
