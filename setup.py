"""What pyproject.toml can't express: the wheel contains the released bundles and a description that stands alone."""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
BUNDLES = ("fused", "landmarks")


class BuildWithBundles(build_py):  # type: ignore[misc]
    """Copies the bundles into the package, if the source has them; on a device it doesn't."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if not self.editable_mode:  # a checkout uses those in model/
            for name in BUNDLES:
                if (HERE / "model" / name).is_dir():
                    self.copy_tree(f"model/{name}", f"{self.build_lib}/edge/model/{name}")


def description() -> str:
    """README without pictures and links into the repository, because a package index shows only this page."""
    text = (HERE / "README.md").read_text("utf-8")
    text = re.sub(r"^!\[[^]]*\]\((?!https?:)[^)]*\)\n+", "", text, flags=re.MULTILINE)
    return re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    cmdclass={"build_py": BuildWithBundles},
    long_description=description(),
    long_description_content_type="text/markdown",
)
