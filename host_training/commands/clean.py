"""`emotion-train clean`: find wrong labels and near-duplicates, and write a page on which to decide about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from host_training.commands import recipe_arguments, shared_arguments

if TYPE_CHECKING:
    import argparse

    from host_training.cleaning.near_duplicates import Pair
    from host_training.cleaning.suspects import Suspect
    from host_training.data.decisions import Decision
    from host_training.data.keypoints import Table
    from host_training.training.recipe import Recipe

PAGE = "contact-sheet.html"
TOP = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Find rows that show the same photo and rows with a wrong label, and record what to do about them.\n\n"
        "Rows that show one photo (cropped, brightened or mirrored) are recorded as such at once, and the commands\n"
        "that read the table keep them in one split. Doubtful labels are only listed: nothing happens to a row until\n"
        f"a person decides, on the page DIR/{PAGE} or in the decisions file. Decisions are never changed.\n\n"
        "Labels of the test split are not checked: a test set that is corrected by hand no longer measures. Its rows\n"
        "only take part in the search for copies."
    )
    parser.epilog = "example: emotion-train clean --table faces.parquet --pictures fer2013:fer2013.csv --out cleaning"
    recipe_arguments.add(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"folder for {PAGE}")
    shared_arguments.add_pictures(parser, "to find copies that landmarks alone don't show")
    parser.add_argument(
        "--decisions",
        type=Path,
        metavar="FILE",
        help="decisions file, read and extended (default: TABLE's name with .decisions.csv, which all commands read)",
    )
    parser.add_argument(
        "--top", type=int, default=TOP, metavar="N", help="number of cards of each kind (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Search, record suggestions, and write the page."""
    from edge.errors import UsageError
    from host_training.cleaning import contact_sheet, near_duplicates
    from host_training.data import decisions, keypoints, parquet
    from host_training.importers.pictures import pictures_of
    from host_training.output import ensure_writable

    if args.top < 0:
        raise UsageError("--top must be 0 or more")
    recipe = recipe_arguments.recipe(args)
    table = parquet.read(args.table)
    file = args.decisions or keypoints.decisions_path(args.table)
    before = decisions.read(file) if file.exists() else []
    page = args.out / PAGE
    for path in (file, page):
        ensure_writable(path)
    pictures = pictures_of(table, args.pictures)

    decided = [decision for decision in before if not decision.open]
    pairs = near_duplicates.find(table, pictures, decided)
    lines = decisions.merged(before, [_same_photo(table, pair) for pair in pairs])
    suspects = _suspects(table, lines, recipe, {decision.id for decision in decided if len(decision.subject) == 1})
    lines = decisions.merged(lines, [_keep(table, suspect) for suspect in suspects[: args.top]])

    decisions.write(lines, file)
    findings = contact_sheet.Findings(suspects[: args.top], len(suspects), pairs[: args.top], len(pairs), lines)
    contact_sheet.write(page, table, findings, pictures, name=args.table.name, file=file.name)
    print(_summary(table, lines, pairs))
    print(f"{len(suspects):,} doubtful labels")
    print(f"wrote {file} and {page}")
    return 0


def _suspects(table: Table, lines: list[Decision], recipe: Recipe, decided: set[str]) -> list[Suspect]:
    """Doubtful labels, by networks that were trained on no copy of the row; without rows that have a decision."""
    import dataclasses

    from host_training.cleaning import suspects
    from host_training.data import decisions
    from host_training.data.splits import disjoint
    from host_training.data.votes import targets_of
    from host_training.training.folds import out_of_fold

    row_of = {name: row for row, name in enumerate(table.ids.tolist())}
    clean, _ = disjoint(decisions.apply(table, lines)[0])
    targets = targets_of(clean, recipe.labels, recipe.truth)
    ids = clean.ids.tolist()
    return [
        dataclasses.replace(suspect, row=row_of[ids[suspect.row]])
        for suspect in suspects.rank(clean, targets, out_of_fold(clean, targets, recipe), recipe.truth)
        if ids[suspect.row] not in decided
    ]


def _same_photo(table: Table, pair: Pair) -> Decision:
    """Suggestion that a pair is one photo. The row that gives way comes first: training, then validation, then test."""
    from host_training.cleaning import contact_sheet
    from host_training.data.decisions import SAME_AS, SUGGESTED, Decision
    from host_training.data.keypoints import SPLITS

    ids, split = table.ids, table.split
    kept, other = sorted((pair.first, pair.second), key=lambda row: (-SPLITS.index(str(split[row])), row))
    reason = f"{SUGGESTED}the same photo ({contact_sheet.words(pair)})"
    return Decision(str(ids[other]), SAME_AS, str(ids[kept]), reason)


def _keep(table: Table, suspect: Suspect) -> Decision:
    from host_training.data.decisions import KEEP, SUGGESTED, Decision

    reason = f"{SUGGESTED}{suspect.given}, but predicted {suspect.predicted} ({suspect.confidence:.2f})"
    return Decision(str(table.ids[suspect.row]), KEEP, "", reason)


def _summary(table: Table, lines: list[Decision], pairs: list[Pair]) -> str:
    from host_training.data import counts, decisions
    from host_training.data.splits import disjoint

    across = sum(bool(table.split[pair.first] != table.split[pair.second]) for pair in pairs)
    mirrored = sum(pair.mirrored for pair in pairs)
    kept, dropped = disjoint(decisions.apply(table, lines)[0])
    rows = sum(dropped.values())
    said = [
        f"{len(pairs):,} pairs of one photo to look at, {mirrored:,} of them mirrored and {across:,} across splits",
        f"{rows:,} rows will be left out: their photo or person is also in the validation or test split",
        *counts.lost(table, kept),
    ]
    return "\n".join(said)
