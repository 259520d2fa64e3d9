"""How many CPUs a process may use, read from the files that Linux shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from onnxferry.scoring import cpu

MACHINE = 64
SYSTEM = SimpleNamespace(sched_getaffinity=lambda _: range(MACHINE))


def seen(root: Path, groups: str, files: Mapping[str, str]) -> int:
    """The CPUs of a process in `groups` (as /proc/self/cgroup has them), with `files` below
    /sys/fs/cgroup."""
    for name, text in {
        "proc/self/cgroup": groups,
        **{f"cgroup/{k}": v for k, v in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return cpu.available(root / "proc", root / "cgroup", SYSTEM)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        # a container by cgroup 2: its own group is the root it sees
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, MACHINE),
        ("0::/\n", {}, MACHINE),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/../../host/path\n", {"cpu.max": "400000 100000\n"}, 4),
        (
            "4:cpu,cpuacct:/d\n3:memory:/d\n",
            {"cpu/d/cpu.cfs_quota_us": "500000", "cpu/d/cpu.cfs_period_us": "100000"},
            5,
        ),
        (
            "4:cpu,cpuacct:/x\n",
            {"cpu/cpu.cfs_quota_us": "600000", "cpu/cpu.cfs_period_us": "100000"},
            6,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, MACHINE),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, MACHINE),
        ("nonsense", {"cpu.max": "?"}, MACHINE),
    ],
)
def test_a_containers_limit_counts(
    tmp_path: Path, groups: str, files: Mapping[str, str], expected: int
) -> None:
    assert seen(tmp_path, groups, files) == expected


def test_without_these_files_the_processs_own_cpus_count(tmp_path: Path) -> None:
    assert cpu.available(tmp_path, tmp_path, SYSTEM) == MACHINE
    for count, expected in ((6, 6), (None, 1)):
        no_affinity = SimpleNamespace(cpu_count=lambda count=count: count)
        assert cpu.available(tmp_path, tmp_path, no_affinity) == expected
