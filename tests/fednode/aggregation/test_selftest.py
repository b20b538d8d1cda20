"""A node that would compute another aggregate than the others refuses to start."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fednode
from fednode.aggregation import selftest
from fednode.aggregation.errors import PinnedVectorError
from fednode.aggregation.rules import RuleSpec, aggregate

# Prints the digest of all rules (one limb and two, several blocks, rows enough for BLAS to use its
# threads) and, as a control, that of a float product. With FLUSH set, the process flushes subnormal
# numbers to zero, as a library built with -ffast-math makes it.
SCRIPT = """
import ctypes, hashlib, json, os
from hashlib import shake_256
import numpy as np
from fednode.aggregation.gram import gram_matrix
from fednode.aggregation.rules import RULES, RuleSpec, aggregate
from fednode.aggregation.selftest import pinned_digest

if os.environ.get("FLUSH"):
    libm = ctypes.CDLL("libm.so.6")
    environment = ctypes.create_string_buffer(32)
    assert libm.fegetenv(environment) == 0
    control = ctypes.c_uint32.from_buffer(environment, 28)
    control.value |= 0x8040
    assert libm.fesetenv(environment) == 0
    assert (np.full(9, 5e-324) * 1).max() == 0
octets = shake_256(b"platform").digest(4 * 40 * 9000)
integers = np.frombuffer(octets, "<i4").reshape(40, 9000)
rules = {"gram": repr(gram_matrix([row >> np.int32(7) for row in integers]))}
for rule_id in RULES:
    digest = hashlib.sha256()
    n = 40 if rule_id == "nnm-geometric-median" else 11
    for shift, weights in ((7, range(n)), (14, [3] * n)):
        rows = [(row[:5000] >> shift).astype(np.int32) for row in integers[:n]]
        result = aggregate(RuleSpec(rule_id=rule_id, f=n // 3), rows, weights)
        digest.update(result.delta.tobytes() + bytes(result.flags))
    rules[rule_id] = digest.hexdigest()
floats = integers / 3.0
control = hashlib.sha256((floats @ floats.T).tobytes()).hexdigest()
print(json.dumps({"pinned": pinned_digest(), "rules": rules, "control": control}))
"""
SIMD_FOUND = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
HAS_AVX512 = any("AVX512" in name or "V4" in name for name in SIMD_FOUND)
HAS_AVX2 = HAS_AVX512 or any(name in {"AVX2", "X86_V3"} for name in SIMD_FOUND)
KERNELS = ["Prescott", *(["Haswell"] if HAS_AVX2 else []), *(["SkylakeX"] if HAS_AVX512 else [])]
on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="names kernels of x86-64")


def test_the_pinned_aggregation_is_the_one_that_this_machine_computes() -> None:
    selftest.check_pinned_vector()

    assert selftest.pinned_digest() == selftest.PINNED


def test_another_result_than_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "PINNED", "0" * 64)

    with pytest.raises(PinnedVectorError, match=f"SHA-256 0{{64}}, got {selftest.pinned_digest()}"):
        selftest.check_pinned_vector()


def test_the_pinned_rows_raise_both_flags() -> None:
    result = aggregate(
        RuleSpec(rule_id="nnm-geometric-median", f=2),
        selftest._pinned_rows(),
        selftest.WEIGHTS,
    )

    assert result.flags == (True, False, False, False, False, False, True)


@on_x86
@pytest.mark.slow
def test_every_rule_gives_one_result_under_all_kernels_threads_and_cpu_features() -> None:
    plain = _run({})
    runs = {
        f"{kernel} {threads}": _run({"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": threads})
        for kernel in KERNELS
        for threads in ("1", "2")
    }
    if SIMD_FOUND:
        runs["no SIMD in numpy"] = _run({"NPY_DISABLE_CPU_FEATURES": " ".join(SIMD_FOUND)})
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        runs["subnormals flushed"] = _run({"FLUSH": "1"})

    for name, found in runs.items():
        assert found["pinned"] == selftest.PINNED, name
        assert found["rules"] == plain["rules"], name
    # The settings have effect: a float product does differ between them.
    if HAS_AVX2:
        assert len({str(found["control"]) for found in runs.values()}) > 1


def _run(settings: dict[str, str]) -> dict[str, object]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    root = str(Path(fednode.__file__).parents[1])
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={**kept, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1", **settings},
        capture_output=True,
        check=False,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    result: dict[str, object] = json.loads(found.stdout)
    return result
