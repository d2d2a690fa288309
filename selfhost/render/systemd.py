"""Units of systemd for engines that are installed on the machines themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines.ascend_variables import VISIBLE
from selfhost.hardware.types import Platform
from selfhost.render import gateway, templates
from selfhost.render.compose import site_example
from selfhost.render.containers import ascend_devices, engine_parts
from selfhost.render.deployment import CACHE, SECOND_ENGINE_PORT, Entry, is_loopback
from selfhost.render.handover import handover
from selfhost.render.leaving import model_on_host
from selfhost.render.rendered import RenderedFile, header, of_node
from selfhost.render.resolve import LOOPBACK
from selfhost.render.units import SITE, allowed_addresses, engine_word, quoted, unit_keys, unit_text, word

if TYPE_CHECKING:
    from selfhost.render.deployment import Deployment, Node
    from selfhost.render.units import Keys

PREFIX = "/opt/selfhost"
"""A virtual environment with selfhost; `engine` in it is a link to the engine's own."""
CONFIGURATION = "/etc/selfhost"
_SPARE_S = 60
_SANDBOX: Keys = [
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("ProtectSystem", "strict"),
    ("PrivateTmp", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectProc", "invisible"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("LockPersonality", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("UMask", "0077"),
]
"""Without MemoryDenyWriteExecute: engines compile kernels as they run."""


def systemd(deployment: Deployment) -> list[RenderedFile]:
    """Units, in a folder per node where there are several; and the handover."""
    files = [of_node(deployment, node, file) for node in deployment.nodes for file in _of_node(deployment, node)]
    return [*files, *handover(deployment, "systemd")]


def _of_node(deployment: Deployment, node: Node) -> list[RenderedFile]:
    name, start = deployment.name, header(deployment)
    files = [RenderedFile(path=f"{name}.service", text=start + _engine(deployment, node))]
    if deployment.host_network:
        example = site_example(deployment, f"Copy to `{name}.env`")
        files.append(RenderedFile(path=f"{name}.env.example", text=example, mode=0o600))
    if deployment.gateway and not node.headless:
        files.append(RenderedFile(path=f"{name}-gateway.service", text=start + _gateway(deployment)))
        files += gateway.gateway_files(deployment, _gateway_options(deployment))
    files += engine_parts(deployment)
    return files


def engine_port(deployment: Deployment) -> int:
    """Where the engine listens on a machine: not where its gateway does."""
    if deployment.gateway is None:
        return deployment.port
    return SECOND_ENGINE_PORT if deployment.engine_port == deployment.port else deployment.engine_port


def host_argv(deployment: Deployment, node: Node) -> list[str]:
    """The command of a node with paths and ports as they are on the machines."""
    own = deployment.entry is Entry.SELFHOST
    argv = [model_on_host(deployment) if text == deployment.model_path else text for text in node.argv]
    argv[0] = f"{PREFIX}/bin/selfhost" if own else f"{PREFIX}/engine/bin/vllm"
    argv[argv.index("--host") + 1] = deployment.address if own else LOOPBACK
    argv[argv.index("--port") + 1] = str(engine_port(deployment))
    if deployment.recipe:
        place = argv.index("--offline")
        argv[place:place] = ["--recipe-path", f"{CONFIGURATION}/{deployment.name}/recipes"]
    return [*templates.at(deployment, argv, f"{CONFIGURATION}/{deployment.name}/{templates.BESIDE}")]


def _engine(deployment: Deployment, node: Node) -> str:
    service: Keys = [
        ("Type", "exec"),
        ("User", "selfhost"),
        ("Group", "selfhost"),
        *_files(deployment),
        *[("Environment", quoted(f"{key}={value}")) for key, value in _environment(deployment, node).items()],
        ("ExecStart", " ".join([*_sited(node), *map(engine_word, host_argv(deployment, node))])),
        *_waits(deployment, node),
        ("KillMode", "mixed"),
        ("TimeoutStartSec", deployment.times.start_s + _SPARE_S),
        ("TimeoutStopSec", deployment.times.grace_s),
        ("Restart", "on-failure"),
        ("RestartSec", 10),
        ("OOMPolicy", "stop"),
        ("MemoryMax", deployment.memory_bytes),
        ("LimitMEMLOCK", "infinity"),
        ("LimitNOFILE", 65536),
        *_SANDBOX,
        *_places(deployment),
        *_devices(deployment),
        *_addresses(deployment),
    ]
    return unit_text(
        ("Unit", unit_keys(f"{deployment.plan.model}, node {node.number}")),
        ("Service", service),
        ("Install", [("WantedBy", "multi-user.target")]),
    )


def _sited(node: Node) -> list[str]:
    """Variables made of the site's addresses: `Environment=` fills nothing in, a command line does."""
    made = [quoted(f"{name}={SITE[value]}") for name, value in node.env.items() if value in SITE]
    return ["/usr/bin/env", *made] if made else []


def _files(deployment: Deployment) -> Keys:
    if not deployment.host_network:
        return []
    return [("EnvironmentFile", f"{CONFIGURATION}/{deployment.name}/{deployment.name}.env")]


def _environment(deployment: Deployment, node: Node) -> dict[str, str]:
    here = {name: value for name, value in deployment.plan.env.items() if name.startswith(("CUDA_", VISIBLE))}
    home = {"SELFHOST_HOME": deployment.store} if deployment.entry is Entry.SELFHOST else {}
    return {name: value for name, value in node.env.items() if value not in SITE} | here | home


def _waits(deployment: Deployment, node: Node) -> Keys:
    """Started means: it answers. Whoever comes after this unit finds it ready."""
    if node.headless:
        return []
    url = f"http://{_asked(deployment)}:{engine_port(deployment)}/health"
    code = (
        "import os, sys, time, urllib.request as u\n"
        "while os.path.exists('/proc/' + sys.argv[1]):\n"
        "    try: u.urlopen(sys.argv[2], timeout=4); sys.exit(0)\n"
        "    except OSError: time.sleep(2)\n"
        "sys.exit('the engine ended')"
    )
    python = f"{PREFIX}/bin/python3"
    return [("ExecStartPost", f"{python} -c {word(code)} $MAINPID {word(url)}")]


def _asked(deployment: Deployment) -> str:
    """An address at which the engine's own port is reached from the machine itself."""
    own = deployment.entry is Entry.SELFHOST and deployment.address not in {"0.0.0.0", "::"}  # noqa: S104
    address = deployment.address if own else LOOPBACK
    return f"[{address}]" if ":" in address else address


def _places(deployment: Deployment) -> Keys:
    """What it may read and write: the whole machine read-only, its cache, and the store without the models."""
    store, home = deployment.store, ("/home", "/root", "/run/user")
    read = [deployment.directory] if deployment.directory else [f"{store}/models", f"{store}/blobs"]
    hidden = not any(f"{path}/".startswith(f"{top}/") for path in (*read, store) for top in home)
    keys: Keys = [
        ("ProtectHome", "yes" if hidden else "read-only"),
        ("CacheDirectory", CACHE.removeprefix("/var/cache/")),
    ]
    if deployment.entry is Entry.SELFHOST:
        keys.append(("ReadWritePaths", quoted(store)))
    return [*keys, *[("ReadOnlyPaths", quoted(path)) for path in read]]


def _devices(deployment: Deployment) -> Keys:
    """Only the accelerators; a policy is needed as `ProtectClock` sets one by itself."""
    keys: Keys = [("DevicePolicy", "closed")]
    if deployment.platform is Platform.CUDA:
        return [*keys, ("DeviceAllow", "char-nvidia* rw")]
    group: Keys = [("SupplementaryGroups", "HwHiAiUser")] if deployment.platform is Platform.ASCEND else []
    # A folder of devices cannot be named: then every character device, as far as the user may open it.
    names = {"/dev/uburma": "char-*"}
    allowed = [names.get(device, device) for device in ascend_devices(deployment)]
    return [*keys, *group, *[("DeviceAllow", f"{device} rw") for device in allowed]]


def _addresses(deployment: Deployment) -> Keys:
    exposed = deployment.gateway is None and not is_loopback(deployment.address)
    return allowed_addresses(beyond_loopback=deployment.host_network or exposed)


def _gateway_options(deployment: Deployment) -> gateway.GatewayOptions:
    return gateway.GatewayOptions(
        listen=deployment.published,
        engine=f"{LOOPBACK}:{engine_port(deployment)}",
        keys=f"{_folder(deployment)}/keys/{gateway.KEYS_NAME}",
        access_log="off",
        group="selfhost",
    )


def _folder(deployment: Deployment) -> str:
    return f"{CONFIGURATION}/{deployment.name}/gateway"


def _gateway(deployment: Deployment) -> str:
    path = f"{_folder(deployment)}/nginx.conf"
    argv = [path if text == gateway.CONFIGURATION else text for text in gateway.ARGV]
    argv[0] = "/usr/sbin/nginx"
    service: Keys = [
        ("Type", "exec"),
        ("User", "selfhost"),
        ("Group", "selfhost"),
        ("ExecStart", " ".join(word(text) for text in argv)),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("KillMode", "mixed"),
        ("KillSignal", gateway.STOP_SIGNAL),
        ("TimeoutStopSec", deployment.times.grace_s),
        ("Restart", "always"),
        ("RestartSec", 2),
        ("MemoryMax", "512M"),
        ("LimitNOFILE", 65536),
        *_SANDBOX,
        ("ProtectHome", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("PrivateDevices", "yes"),
        *allowed_addresses(beyond_loopback=not is_loopback(deployment.address)),
    ]
    return unit_text(
        ("Unit", unit_keys(f"{deployment.name}: gateway")),
        ("Service", service),
        ("Install", [("WantedBy", f"{deployment.name}.service multi-user.target")]),
    )
