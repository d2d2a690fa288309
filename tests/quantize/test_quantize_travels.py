"""A variant that was made here goes where others go: into bundles, into files for containers, and away again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfhost.home import Home
from selfhost.recipe import write
from selfhost.recipe.load import load_recipe
from tests.bundle.pack_support import make
from tests.quantize.conftest import FAKES
from tests.recipe.test_recipe_load import SMOL

pytestmark = pytest.mark.slow
RECIPE = Path("recipes") / "smollm2-135m.toml"


@pytest.fixture
def bundle(quantize, home, tmp_path):
    """A volume with the variant `fp8`."""
    assert quantize("--scheme", "fp8")[0] == 0
    medium = tmp_path / "medium"
    medium.mkdir()
    make(home, medium, models=("smollm2-135m",), variant="fp8")
    return medium


@pytest.mark.parametrize("there", ["nothing", "another variant", "a recipe of his own"])
def test_it_crosses_with_what_the_recipe_says_of_it(bundle, selfhost, tmp_path, monkeypatch, there):
    other = tmp_path / "other"
    if there == "another variant":
        (other / "recipes").mkdir(parents=True)
        mine = {"name": "mine", "scheme": "bf16"}
        (other / RECIPE).write_text(write.extension("smollm2-135m", [mine]))
    elif there == "a recipe of his own":
        (other / "recipes").mkdir(parents=True)
        (other / RECIPE).write_bytes(SMOL.read_bytes())
    monkeypatch.setenv("SELFHOST_HOME", str(other))
    code, _, err = selfhost("bundle", "import", bundle, "--allow-unsigned", "a test")
    assert code == 0, err
    recipe = load_recipe("smollm2-135m", Home(other))
    names = {"nothing": ["bf16", "fp8"], "another variant": ["bf16", "mine", "fp8"]}.get(there, ["bf16", "fp8"])
    assert [one.name for one in recipe.variants] == names
    plan = json.loads(selfhost("plan", "smollm2-135m", "--variant", "fp8", "--on", "H20", "--json")[1])
    assert plan["argv"][2] == str(other / "models" / "smollm2-135m" / "fp8")
    assert selfhost("verify", "smollm2-135m", "--variant", "fp8")[0] == 0
    assert (other / "models" / "smollm2-135m" / "fp8" / "selfhost-loss.json").is_file()
    assert selfhost("pull", "smollm2-135m", "--variant", "fp8")[0] == 0


@pytest.mark.parametrize("mine", ["added to the built-in recipe", "in a recipe of his own"])
def test_a_bundle_knows_only_what_it_carries_of_what_was_made_here(quantize, selfhost, home, tmp_path, mine):
    """Nobody could get the files of the others: on the other side they would only be errors that wait."""
    if mine == "in a recipe of his own":
        (home / "recipes").mkdir(parents=True)
        (home / RECIPE).write_text("# Mine.\n" + SMOL.read_text())
    for scheme in ("fp8", "w8a8"):
        assert quantize("--scheme", scheme)[0] == 0
    assert quantize("--scheme", "nf4", "--in-flight")[0] == 0
    own = (home / RECIPE).read_text()
    for carried, names in {"fp8": ["bf16", "fp8"], "bf16": ["bf16", "nf4-in-flight"]}.items():
        medium, other = tmp_path / f"medium-{carried}", tmp_path / f"other-{carried}"
        medium.mkdir()
        make(home, medium, models=("smollm2-135m",), variant=carried)
        with pytest.MonkeyPatch.context() as there:
            there.setenv("SELFHOST_HOME", str(other))
            code, _, err = selfhost("bundle", "import", medium, "--allow-unsigned", "a test")
        assert code == 0, err
        assert [one.name for one in load_recipe("smollm2-135m", Home(other)).variants] == names
        (brought,) = (other / "recipes").rglob("smollm2-135m.toml")
        assert ("# Mine." in brought.read_text()) is (mine == "in a recipe of his own")
    assert (home / RECIPE).read_text() == own


def test_a_bundle_of_nothing_that_was_made_here_has_the_built_in_recipe(quantize, home, tmp_path):
    from selfhost.app.quantize.user_recipe import for_others

    assert quantize("--scheme", "fp8")[0] == 0
    assert for_others(home / RECIPE, "bf16") == (SMOL, SMOL.read_bytes())
    assert for_others(home / RECIPE, "fp8") == (home / RECIPE, (home / RECIPE).read_bytes())
    assert for_others(SMOL, "bf16") == (SMOL, SMOL.read_bytes())


def test_what_is_removed_goes_out_of_a_recipe_that_somebody_wrote(quantize, selfhost, home):
    (home / "recipes").mkdir(parents=True)
    (home / RECIPE).write_text(own := "# Mine.\n" + SMOL.read_text())
    assert quantize("--scheme", "fp8")[0] == 0
    assert quantize("--scheme", "nf4", "--in-flight")[0] == 0
    assert [one.name for one in load_recipe("smollm2-135m", Home(home)).variants] == ["bf16", "fp8", "nf4-in-flight"]
    assert selfhost("rm", "smollm2-135m", "--variant", "fp8", "--yes")[0] == 0
    assert [one.name for one in load_recipe("smollm2-135m", Home(home)).variants] == ["bf16", "nf4-in-flight"]
    assert selfhost("rm", "smollm2-135m", "--variant", "nf4-in-flight")[0] == 0
    assert (home / RECIPE).read_text() == own
    assert selfhost("rm", "smollm2-135m", "--variant", "bf16", "--yes")[0] == 0
    assert (home / RECIPE).read_text() == own, "what can be got again stays known"


@pytest.mark.parametrize("target", ["compose", "k8s", "systemd", "quadlet"])
def test_files_for_containers_carry_the_recipe_that_knows_it(quantize, selfhost, home, tmp_path, target):
    assert quantize("--scheme", "w8a8")[0] == 0
    assert quantize("--scheme", "fp8")[0] == 0
    out = tmp_path / target
    what = ("smollm2-135m", "--variant", "fp8", "--on", "H20", "--output", out)
    code, _, err = selfhost("render", target, *what)
    assert code == 0, err
    written = "\n".join(path.read_text() for path in sorted(out.rglob("*")) if path.is_file())
    assert "extends = true" in written
    assert 'name = "fp8"' in written
    assert 'name = "w8a8"' not in written, "it stays here"
    assert "smollm2-135m/fp8" in written or "--variant fp8" in written or "models/smollm2-135m/fp8" in written


def test_a_signal_ends_all_of_it_and_the_same_command_goes_on(model, home, tmp_path):
    """The script is killed with its parent: what it finished is there, and is not made again."""
    runner = tmp_path / "runner.py"
    runner.write_text(
        "import sys\nfrom pathlib import Path\nfrom selfhost.app.quantize import run\n"
        f"run._INSIDE = Path({str(FAKES)!r})\n"
        "from selfhost.cli.main import main\nmain(sys.argv[1:])\n"
    )
    argv = [sys.executable, runner, "quantize", "smollm2-135m", "--scheme", "fp8", "--engine-python", sys.executable]
    env = {**os.environ, "PYTHONPATH": str(Path.cwd()), "FAKE_QUANTIZE": json.dumps({"stop_after": 2})}
    log = home / "quantize" / "smollm2-135m" / "fp8" / "log.txt"
    process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while time.monotonic() < until and not (log.is_file() and "waiting" in log.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(FAKES).encode() in _read(path)]
    kept = sorted(path.name for path in (log.parent / "model").iterdir())
    assert kept == ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"]
    done = subprocess.run(argv, env={**env, "FAKE_QUANTIZE": "{}"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "going on with 9.9 KiB of an earlier run" in done.stderr
    assert done.stdout == f"{home / 'models' / 'smollm2-135m' / 'fp8'}\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_variant_without_files_uses_those_of_another(quantize, selfhost, home, model):
    code, out, err = quantize("--scheme", "nf4", "--in-flight", "--json")
    assert code == 0, err
    assert json.loads(out)["variant"] == "nf4-in-flight"
    plan = json.loads(selfhost("plan", "smollm2-135m", "--variant", "nf4-in-flight", "--on", "RTX4090", "--json")[1])
    assert plan["argv"][2] == str(model)
    assert plan["argv"][plan["argv"].index("--quantization") + 1] == "bitsandbytes"
    made = home / "medium"
    made.mkdir()
    make(home, made, models=("smollm2-135m",), variant="bf16")
    assert b'files_of = "bf16"' in b"".join(path.read_bytes() for path in made.rglob("*") if path.is_file())
    plan = json.loads(selfhost("plan", "smollm2-135m", "--variant", "nf4-in-flight", "--on", "cpu@16", "--json")[1])
    assert plan["verdict"] == "fits"
    assert plan["argv"][plan["argv"].index("--quantization") + 1] == "bitsandbytes"
    assert selfhost("rm", "smollm2-135m", "--variant", "nf4-in-flight", "--dry-run")[0] == 0
    assert len(load_recipe("smollm2-135m", Home(home)).variants) == 2
    assert selfhost("rm", "smollm2-135m", "--variant", "nf4-in-flight")[0] == 0
    assert len(load_recipe("smollm2-135m", Home(home)).variants) == 1
    assert model.is_dir()
    code, _, err = quantize("--scheme", "fp8", "--in-flight")
    assert code == 2
    assert "`--in-flight` goes with `--scheme nf4` only" in err
