"""Every command of the pages: the exit code that it must have here, the test that runs it, or the hardware it needs.

Here: a machine without accelerators, engines and servers. The commands of a page that is followed from the top are run in
that order, in one folder; those of the others each alone.
"""
# ruff: noqa: E501, ISC004 - commands stand as the pages have them

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
WORDS = {
    "a GPU": "需要 GPU",
    "root": "需要 root",
    "root and a GPU": "需要 root 和 GPU",
    "a cluster": "需要集群",
    "a registry": "需要镜像仓库",
}
"""What a page says of a command that cannot be run everywhere: after `needs`, and in Chinese."""


class Needs(NamedTuple):
    """A command for other hardware than tests can count on; the page says so beside it."""

    what: str
    here: int | None = None
    """Its exit code where that is not there; None: it is not run."""


class Line(NamedTuple):
    """A command of a page."""

    command: str
    comment: str
    section: str


def lines(page: str) -> list[Line]:
    """The commands of a page, in order."""
    found, section = [], ""
    for part in re.finditer(r"^#+ ([^\n]*)$|```console\n(.*?)```", page, flags=re.DOTALL | re.MULTILINE):
        heading, block = part.groups()
        section = heading or section
        for line in (block or "").splitlines():
            if line.startswith("$ "):
                command, _, comment = line[2:].partition("  # ")
                found.append(Line(command.strip(), comment.strip(), section))
    return found


# README.md and docs/bundles.md: each alone.
ALONE: dict[str, int | str | Needs] = {
    "selfhost detect": 0,
    "selfhost recipe ls": 0,
    "selfhost plan qwen2.5-72b --on 4xA800-80G": 0,
    "selfhost plan deepseek-v3 --on 8xMLU370": 3,
    "selfhost plan deepseek-v3 --on 2x8x910B3": 0,
    "selfhost plan qwen2.5-72b --matrix": 0,
    "selfhost plan --for-hardware 8xH20": 0,
    "selfhost plan deepseek-v3 --on 8xH200 --for throughput": 0,
    "selfhost plan deepseek-v3 --on 8xH200 --explain": 0,
    "selfhost doctor": 0,
    "selfhost engine install cuda": 4,  # no NVIDIA driver: said before anything is downloaded
    "selfhost smoke deepseek-v3": "tests/e2e/test_e2e_smoke.py",
    "selfhost pull qwen2.5-0.5b": "tests/app/test_app_pull.py",
    "selfhost serve qwen2.5-0.5b --detach": "tests/e2e/test_e2e_pull.py",
    "selfhost serve DIR --detach": "tests/e2e/test_e2e_serve_directory.py",
    "selfhost ps": 0,
    # No such server; with one: tests/e2e/test_e2e_serve_directory.py, tests/serve, tests/e2e/test_e2e_bench.py
    'selfhost chat NAME "你好"': 3,
    "selfhost accept NAME": 3,
    "selfhost bench NAME": 3,
    "selfhost logs NAME --follow": 3,
    "selfhost replace NAME": 3,
    "selfhost stop NAME": 3,
    "selfhost verify MODEL": 7,  # nothing of that name is stored; with one: tests/cli/test_cli_verify.py
    "selfhost ls": 0,
    # docs/recipes.md: no such repository form, no config in an empty file list, no such file; with them:
    # tests/app/test_app_recipe_new.py, tests/recipe/test_recipe_new_cli.py
    "selfhost recipe new REPO": 2,
    "selfhost recipe new DIR --output -": 2,
    "selfhost recipe new DIR --variant-of qwen2.5-7b": 2,
    "selfhost recipe lint DIR/NAME.toml --strict": 2,
    "selfhost recipe show qwen2.5-7b": 0,
    "selfhost plan qwen2.5-7b --on 1xL20": 0,
    "selfhost plan qwen2.5-7b --matrix": 0,
    "selfhost smoke qwen2.5-7b": "tests/e2e/test_e2e_smoke.py",
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
    "selfhost mirror serve --host ADDRESS --wheelhouse DIR": "tests/mirror/test_mirror_clients.py",
    "make try": "tests/e2e/test_e2e_make_try.py",
    "make test": "Makefile",  # this run
}

# No such server here; with one, and with nginx: tests/serve/test_serve_replace_gateway.py
_NO_SERVER, _NO_GATEWAY = 3, 2
FROM_THE_TOP: dict[str, tuple[tuple[str, int | str | Needs], ...]] = {
    "gpu-server": (
        ("python3 -m venv ~/selfhost", "tests/test_wheel.py"),
        ("~/selfhost/bin/python -m pip install .", "tests/test_wheel.py"),
        ('export PATH="$HOME/selfhost/bin:$PATH"', 0),
        ("selfhost detect", 0),
        ("selfhost doctor", 0),
        ("selfhost engine install cuda", Needs("a GPU", 4)),
        ("selfhost engine check cuda", Needs("a GPU", 4)),
        ("selfhost recipe ls --fits-here --on 4xA800-80G", 0),
        ("selfhost plan qwen2.5-72b --on 4xA800-80G", 0),
        ("selfhost plan qwen2.5-72b --on 4xA800-80G --explain", 0),
        ("selfhost plan qwen2.5-72b --on 4xA800-80G --max-model-len auto", 0),
        ("selfhost smoke qwen2.5-72b", Needs("a GPU", 4)),
        ("selfhost pull qwen2.5-72b", "tests/app/test_app_pull.py"),
        ("selfhost verify qwen2.5-72b", 7),
        ("selfhost serve qwen2.5-72b --detach --restart on-failure", Needs("a GPU", 3)),
        ("selfhost ps", 0),
        ('selfhost chat qwen2.5-72b "你好"', _NO_SERVER),
        ("selfhost accept qwen2.5-72b", _NO_SERVER),
        ("selfhost bench qwen2.5-72b --promise", _NO_SERVER),
        ("selfhost key new alice --output alice.key --expires 90d", 0),
        (
            "selfhost serve qwen2.5-72b --detach --host 0.0.0.0 --ssl-certfile server.crt --ssl-keyfile server.key",
            Needs("a GPU", 4),  # no such certificate; with one: tests/e2e/test_e2e_front_door.py
        ),
        ("selfhost key rotate alice --keep 1h --output alice-2.key", 0),
        ("selfhost key ls", 0),
        ("selfhost key revoke alice", 0),
        ("selfhost logs qwen2.5-72b --access", _NO_SERVER),
        (
            "selfhost gateway qwen2.5-72b ./gateway --listen 0.0.0.0:8443 --certificate /etc/selfhost/tls",
            _NO_SERVER,
        ),
        ("selfhost key new alice --gateway gateway/keys/keys.conf", _NO_GATEWAY),
        ("selfhost replace qwen2.5-72b --gateway gateway/nginx.conf --max-model-len 16384", _NO_GATEWAY),
        ("selfhost render systemd qwen2.5-72b --on 4xA800-80G --store /srv/selfhost --output deploy", 0),
        ("selfhost render --lint deploy", 0),
        ("sudo cp deploy/qwen2-5-72b.service /etc/systemd/system/", Needs("root")),
        ("sudo systemctl daemon-reload", Needs("root")),
        ("sudo systemctl enable --now qwen2-5-72b", Needs("root and a GPU")),
        ("selfhost ps --json", 0),
        ("selfhost logs qwen2.5-72b --lines 50", _NO_SERVER),
        ("~/selfhost/bin/python -m pip install --upgrade .", "tests/test_wheel.py"),
        ("selfhost engine install cuda", Needs("a GPU", 4)),
        ("selfhost replace qwen2.5-72b --gateway gateway/nginx.conf", _NO_GATEWAY),
        ("selfhost render systemd qwen2.5-72b --on 4xA800-80G --store /srv/selfhost --output deploy --check", 0),
        ("selfhost engine remove --unused --yes", 0),
        ("selfhost quantize qwen2.5-72b --advise --on 4xA800-80G", 0),
        ("selfhost engine install quantize", "tests/engines/test_engine_install.py"),
        ("selfhost quantize qwen2.5-72b --scheme w8a8 --dry-run", 7),  # not stored; with a model: tests/quantize
        ("selfhost logs qwen2.5-72b", _NO_SERVER),
        ("selfhost doctor --log engine.log", 7),  # no such log; with one: tests/cli/test_cli_doctor.py
        ("selfhost doctor --model qwen2.5-72b", 3),
        ("selfhost stop qwen2.5-72b", _NO_SERVER),
        ("selfhost stop --orphans", 0),
        ("selfhost doctor --report report.txt", 0),
    ),
    "closed-site": (
        ("selfhost plan qwen2.5-7b --on 2xL20", 0),
        ("selfhost plan --for-hardware 2xL20", 0),
        ("selfhost detect --json > target.json", 0),
        ("selfhost bundle inventory > have.json", 0),
        ("ssh-keygen -q -t ed25519 -N '' -f bundle-key", 0),
        ("selfhost pull qwen2.5-7b", "tests/app/test_app_pull.py"),
        ("selfhost verify qwen2.5-7b", 0),
        ("mkdir medium", 0),
        (
            "selfhost bundle create --model qwen2.5-7b --engine cuda --for target.json --sign-key bundle-key --to medium "
            "--dry-run",
            0,
        ),
        (
            "selfhost bundle create --model qwen2.5-7b --engine cuda --for target.json --sign-key bundle-key --to medium",
            0,
        ),
        ("selfhost bundle verify medium --key bundle-key.pub", 0),
        ('export SELFHOST_HOME="$HOME/.local/share/selfhost"', 0),
        ('mkdir -p "$SELFHOST_HOME/trust"', 0),
        ('cp bundle-key.pub "$SELFHOST_HOME/trust/"', 0),
        ("selfhost bundle verify medium", 0),
        ("selfhost bundle inspect medium", 0),
        ("selfhost bundle import medium", 0),
        # From a folder of wheels: tests/e2e/test_e2e_crossing.py
        ("selfhost engine install cuda --wheelhouse WHEELS", Needs("a GPU", 4)),
        ("selfhost doctor --model qwen2.5-7b", Needs("a GPU")),
        ("selfhost verify qwen2.5-7b", 0),
        ("selfhost smoke qwen2.5-7b", Needs("a GPU", 4)),
        ("selfhost serve qwen2.5-7b --offline --detach", Needs("a GPU")),
        ("selfhost accept qwen2.5-7b", _NO_SERVER),
        ("selfhost bench qwen2.5-7b --promise", _NO_SERVER),
        ("selfhost key new mirror --output mirror.key", 0),
        ("selfhost mirror serve --host ADDRESS --wheelhouse WHEELS", "tests/mirror/test_mirror_clients.py"),
        ("selfhost pull qwen2.5-7b --source http://user:KEY@ADDRESS:8080", "tests/mirror/test_mirror_clients.py"),
        ("selfhost bundle push medium REGISTRY/REPOSITORY", "tests/registry/test_bundle_push.py"),
        ("selfhost bundle inventory > have.json", 0),
        ("mkdir update", 0),
        ("selfhost bundle create --model qwen2.5-7b --have have.json --sign-key bundle-key --to update", 0),
        ("selfhost bundle import update", 0),
        ("selfhost bundle gc --dry-run", 0),
        ("selfhost bundle gc", 0),
    ),
    "kubernetes": (
        ("selfhost image build cuda --dry-run", "tests/cli/test_cli_image.py"),
        ("selfhost image build cuda", "tests/e2e/test_e2e_image.py"),
        ("selfhost image ls", "tests/cli/test_cli_image.py"),
        (
            "podman push localhost/selfhost-cuda:0.1.0 docker://registry.example/selfhost-cuda:0.1.0",
            Needs("a registry"),
        ),
        ("selfhost plan qwen2.5-72b --on 8xH20", 0),
        ('selfhost render k8s qwen2.5-72b --on 8xH20 --image "$ENGINE" --output deploy', 0),
        ("selfhost render --lint deploy", 0),
        ('selfhost render k8s qwen2.5-72b --on 8xH20 --image "$ENGINE" --output deploy --check', 0),
        (
            'selfhost render k8s-lws deepseek-v3 --on 2x8xH20 --image "$ENGINE" --gateway-image "$GATEWAY" '
            "--output deepseek",
            0,
        ),
        ("selfhost render --lint deepseek", 0),
        (
            "selfhost bundle push VOLUME registry.example/models/qwen2.5-72b --as modelcar",
            "tests/registry/test_bundle_push.py",
        ),
        (
            'selfhost render k8s qwen2.5-72b --on 8xH20 --image "$ENGINE" --cluster version=1.35 --cluster '
            'image="$MODEL_IMAGE" --output from-image',
            0,
        ),
        ("kubectl apply -f deploy/namespace.yaml", Needs("a cluster")),
        ("selfhost key new alice --output alice.key", 0),
        ('export SELFHOST_HOME="$HOME/.local/share/selfhost"', 0),
        (
            "kubectl -n selfhost create secret generic qwen2-5-72b-keys "
            '--from-file=keys.json="$SELFHOST_HOME/keys/keys.json"',
            Needs("a cluster"),
        ),
        ("selfhost key new alice --gateway keys.conf", 0),
        ("kubectl -n selfhost create secret generic deepseek-v3-keys --from-file=keys.conf", Needs("a cluster")),
        ("kubectl apply -k deploy", Needs("a cluster")),
        ("kubectl apply -k deploy/monitoring", Needs("a cluster")),
    ),
}
"""Pages of `docs/`, by their names in English; what ends with 3 or 2 for want of a server does more where there is one."""
