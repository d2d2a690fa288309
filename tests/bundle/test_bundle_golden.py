"""Bundles of each version of the format, as the tools of their time wrote them: today's reads them.

`tests/data/bundles/v<N>`: two volumes, signed; their keys are not kept. v1 was made by the last tool that wrote no
other version; in v2 the largest content is cut over both volumes. They are never made anew: a version gets a folder.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost.bundle import inside_verify, layout
from selfhost.errors import ExitCode
from selfhost.home import find_home
from tests.bundle.unpack_support import NAME, VARIANT, copied, files_of, reseal, run

GOLDEN = Path(__file__).parents[1] / "data" / "bundles"
VERSIONS = list(range(1, layout.SCHEMA_VERSION + 1))


@pytest.fixture
def volumes(tmp_path, version):
    folder = GOLDEN / f"v{version}"
    trust = find_home().root / "trust"
    trust.mkdir(parents=True)
    shutil.copy(folder / "site.pub", trust)
    return copied(sorted(folder.glob("golden-vol*")), tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_what_it_says(volumes, version):
    for volume in volumes:
        body = json.loads((volume / layout.INFO_NAME).read_bytes())
        assert body["schema_version"] == version
        checked = subprocess.run(
            [sys.executable, inside_verify.__file__, volume], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
    assert run("bundle", "verify", *volumes)[0] == 0
    assert run("bundle", "inspect", volumes[1])[0] == 0


@pytest.mark.parametrize(("version", "order"), list(itertools.product(VERSIONS, [(0, 1), (1, 0)])))
def test_it_comes_in(volumes, version, order):
    assert run("bundle", "import", volumes[order[0]])[0] == ExitCode.INCOMPLETE
    code, _, said = run("bundle", "import", volumes[order[1]])
    assert code == 0, said
    assert "not signed" not in said
    files = files_of(find_home().models / NAME / VARIANT)
    assert len(files) == 9
    assert run("verify", NAME)[0] == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_one_of_a_later_tool_is_refused_by_name(volumes, version):
    path = volumes[0] / layout.INFO_NAME
    body = json.loads(path.read_bytes())
    body["schema_version"] = layout.SCHEMA_VERSION + 1
    path.write_text(json.dumps(body))
    reseal(volumes[0])
    (volumes[0] / layout.SIGNATURE_NAME).unlink()
    shutil.rmtree(find_home().root / "trust")
    code, _, said = run("bundle", "import", volumes[0])
    assert (code, "newer selfhost" in said) == (ExitCode.INTEGRITY, True), said
    checked = subprocess.run(
        [sys.executable, inside_verify.__file__, volumes[0]], capture_output=True, text=True, check=False
    )
    assert checked.returncode == ExitCode.INTEGRITY
    assert "of version" in checked.stdout
