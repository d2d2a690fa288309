"""What is rendered, kept in `tests/data/render` and reviewed like code; rewritten by

python -m tests.render.golden
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from selfhost.app.render_output import LIST
from selfhost.render import targets
from tests.render.kubernetes import plans

DATA = Path(__file__).resolve().parent.parent / "data" / "render"
TARGETS = [target for target in targets.TARGETS if not target.startswith("k8s")]
"""Those of Kubernetes take one machine or several, not both: they have plans of their own, kept in `kubernetes`."""
CLUSTERS = DATA / "kubernetes"
GATEWAY = ("--gateway-image", "registry.example/nginx@sha256:" + "9f" * 32)
TEMPLATE = ("--chat-template", str(DATA / "models" / "chat.jinja"))
EVERYWHERE = ("--store", "/srv/selfhost")
PLANS = {
    "smollm2-cpu": ("smollm2-135m", "--on", "cpu@8"),
    "qwen2.5-7b-rtx4090": ("qwen2.5-7b", "--on", "RTX4090"),
    "qwen2.5-72b-awq-2xa800": ("qwen2.5-72b", "--variant", "awq-int4", "--on", "2xA800-80G"),
    "glm-4.5-air-8xh100": ("glm-4.5-air", "--on", "8xH100"),
    "qwen2.5-72b-8x910b3": ("qwen2.5-72b", "--on", "8x910B3", *GATEWAY),
    "deepseek-v3-2x8xh20": ("deepseek-v3", "--on", "2x8xH20", *GATEWAY),
    "glm-4.5-air-dp-ep-2x8xh100": (
        *("glm-4.5-air", "--on", "2x8xH100", "--data-parallel-size", "2", "--tensor-parallel-size", "8"),
        *("--enable-expert-parallel", "--host", "0.0.0.0"),
        *GATEWAY,
    ),
    # With the gateway's image that is taken where none is named.
    "qwen2.5-72b-2x4x910b3": ("qwen2.5-72b", "--on", "2x4x910B3", "--port", "9000", "--", *TEMPLATE),
    "directory-2xa800": (
        *(str(DATA / "models" / "tiny-qwen"), "--directory", "/data/models/tiny-qwen", "--on", "2xA800-80G"),
        *("--name", "tiny", "--", "--shutdown-timeout", "20", *TEMPLATE),
    ),
}
"""The command line of each, without target and output."""


def same_everywhere(path: str) -> bool:
    """Files that do not depend on the target; kept once, with `compose`."""
    return path == "LEAVING.md" or path.startswith("monitoring/")


def kept(plan: str, target: str) -> dict[str, str]:
    """Text by path, as it was reviewed."""
    shared = {path: text for path, text in files(DATA / plan / "compose").items() if same_everywhere(path)}
    return files(DATA / plan / target) | (shared if target in {"quadlet", "systemd"} else {})


def of_cluster(case: str) -> dict[str, str]:
    """Text by path of what is rendered for Kubernetes, without what does not depend on the target."""
    return {path: text for path, text in plans.rendered(case).items() if path != "LEAVING.md"}


def arguments(plan: str, target: str, output: Path) -> list[str]:
    """Of `selfhost`."""
    own = PLANS[plan]
    place = own.index("--") if "--" in own else len(own)
    return ["render", target, *own[:place], *EVERYWHERE, "--output", str(output), *own[place:]]


def files(directory: Path) -> dict[str, str]:
    """Text by path; without the list of what was written."""
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != LIST]
    return {str(path.relative_to(directory)): path.read_text() for path in paths}


def main() -> None:
    """Write all of them anew."""
    with tempfile.TemporaryDirectory() as home:
        for plan in PLANS:
            shutil.rmtree(DATA / plan, ignore_errors=True)
            for target in TARGETS:
                output = DATA / plan / target
                command = [sys.executable, "-m", "selfhost", *arguments(plan, target, output)]
                subprocess.run(command, check=True, env={"SELFHOST_HOME": home}, stdout=sys.stderr)
                (output / LIST).unlink()
                if target != "compose":
                    (output / "LEAVING.md").unlink(missing_ok=True)
                    shutil.rmtree(output / "monitoring", ignore_errors=True)
    shutil.rmtree(CLUSTERS, ignore_errors=True)
    for case in plans.CASES:
        for path, text in of_cluster(case).items():
            (CLUSTERS / case / path).parent.mkdir(parents=True, exist_ok=True)
            (CLUSTERS / case / path).write_text(text)


if __name__ == "__main__":
    main()
