from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from host_training.training.versions import processor

if TYPE_CHECKING:
    from pathlib import Path

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC
flags\t\t: fpu sse4_2 avx avx2 fma

processor\t: 1
model name\t: another
"""
PI_5 = """processor\t: 0
Features\t: fp asimd asimdhp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Model\t\t: Raspberry Pi 5
"""


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (X86, "AMD EPYC, cpu family 25, model 1, m with sse4_2 avx avx2 fma"),
        (PI_5, "CPU implementer 0x41, CPU part 0xd0b, m with asimd asimdhp asimddp"),
        ("", "m"),
        (None, "m"),
    ],
)
def test_the_processor_is_its_model_and_its_instruction_sets(
    cpuinfo: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(platform, "machine", lambda: "m")
    if cpuinfo is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo)

    assert processor(tmp_path) == expected
