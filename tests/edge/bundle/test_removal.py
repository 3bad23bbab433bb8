"""`emotion-edge model uninstall` undoes an install: what was in use before is in use again, and nothing else goes."""

from __future__ import annotations

import os

import pytest

from edge.bundle.locate import Installation
from edge.bundle.removal import uninstall
from edge.bundle.store import BundleStore
from edge.errors import ConfigError, NoInputError, UsageError
from edge.settings import Settings
from tests.support.bundle_folders import links, names
from tests.support.released import FUSED_BUNDLE

pytest_plugins = ["tests.support.bundle_folders", "tests.support.signed_bundles"]
pytestmark = pytest.mark.usefixtures("quick_golden_faces")

NOTHING = "no model bundle of your own is in use on this machine: nothing to do"


def test_the_only_bundle_gives_way_to_the_one_that_comes_with_the_program(store, root, signed):
    store.install(signed("a"))

    line = uninstall(root)

    assert line == "model bundle a is removed from this machine; in use: the one that comes with the program"
    assert names(root) == {"counter", ".lock"}
    assert Installation.of(Settings(), device=root).bundle == FUSED_BUNDLE
    assert uninstall(root) == NOTHING


def test_the_one_before_comes_back(store, root, signed, keys):
    store.install(signed("a", 1))
    store.install(signed("b", 2))

    assert uninstall(root, keys[0].trusted).endswith("in use: a")
    assert links(root) == {"current": "a"}
    assert "b" not in names(root)


@pytest.mark.parametrize(
    ("name", "left"), [("a", {"current": "b", "shadow": "c"}), ("c", {"current": "b", "previous": "a"})]
)
def test_one_that_is_not_in_use_goes_with_its_links(store, root, signed, name, left):
    store.install(signed("a", 1))
    store.install(signed("b", 2))
    store.install(signed("c", 3), shadow=True)

    assert uninstall(root, name=name).endswith("in use: b")
    assert links(root) == left
    assert name not in names(root)


def test_the_release_comes_back_and_is_not_removed(store, root, signed, tmp_path):
    release = tmp_path / "release"
    release.mkdir()
    signed("r", 1).rename(release / "fused")
    signed("l", 1).rename(release / "landmarks")
    store.install_release(release)
    for name, counter in (("a", 2), ("b", 3)):
        store.install(signed(name, counter))
    uninstall(root, name="a")  # the one before

    assert uninstall(root).endswith("in use: r")
    assert links(root) == {"current": "r", "landmarks": "l"}
    assert uninstall(root) == NOTHING
    for name in ("r", "l"):
        with pytest.raises(UsageError, match=f"{name} belongs to the release"):
            uninstall(root, name=name)
    assert names(root) >= {"r", "l"}


def test_nothing_changes_if_the_one_before_is_damaged(store, root, signed):
    store.install(signed("a", 1))
    store.install(signed("b", 2))
    os.truncate(root / "a" / "golden.npz", 10)

    with pytest.raises(ConfigError, match=r"golden\.npz is not the file"):
        uninstall(root)

    assert links(root) == {"current": "b", "previous": "a"}


def test_a_missing_bundle_is_no_input(store, root, signed):
    with pytest.raises(NoInputError, match="there is no model bundle x; there are none"):
        uninstall(root, name="x")
    assert uninstall(root) == NOTHING
    assert not root.exists()
    store.install(signed("a"))
    with pytest.raises(NoInputError, match="there is no model bundle x; there are a"):
        uninstall(root, name="x")


def test_an_older_bundle_may_be_installed_where_no_signature_is_needed(root, signed):
    store = BundleStore(root, trial_s=0)
    older = signed("a", 1)
    store.install(signed("b", 7))

    assert store.install(older) == "model bundle a is installed, after b"
