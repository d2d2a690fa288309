"""Messages about the machine behind a gap: `bundle create --for target.json`."""

from selfhost.messages import Text

_DETECT = "make it there: `selfhost detect --json > target.json`"

MESSAGES = {
    "target.newer": Text(
        "`{path}` is of a newer selfhost",
        "format: {found}, known here: {known}",
        "use the same selfhost on both sides: `python3 -m pip install --upgrade selfhost-llm`",
    ),
    "target.not_a_profile": Text("`{path}` is not what `detect --json` prints", "{detail}", _DETECT),
    "target.cannot_run": Text(
        "the bundle could not run on the machine that `{path}` tells of",
        "{problems}",
        "change what is bundled or that machine, then tell of it anew: `selfhost detect --json > target.json`",
    ),
    "target.old_python": Text(
        "Python there is too old for selfhost: {found}",
        "wanted: CPython 3.11 or newer",
        "install a newer Python there, or run detect with the one that is: `python3.11 -m selfhost detect --json`",
    ),
    "target.wheels": Text(
        "wheels of the bundle do not install there: {count}",
        "there: {there}\n{listed}",
        "let the wheels for that machine be chosen and downloaded: leave `--wheelhouse` out",
    ),
    "target.soc_family": Text(
        "the bundle is for another family of Ascend devices",
        "wanted: {wanted}\nthere: {found}",
        "choose a variant for that family: `selfhost recipe ls`",
    ),
    "target.fewer_devices": Text(
        "too few devices like {name}",
        "wanted: {wanted}, found that can stand in for them: {found} (there: {listed})",
        "import it on the machine that it was made for",
    ),
    "target.differs": Text(
        "another {what} than the bundle was made for",
        "wanted: {wanted}, found: {found}",
        "import it on the machine that it was made for, or bring this one up to that",
    ),
    "target.model": Text(
        "{name} does not run on the devices there: {devices}",
        "{listed}",
        "choose a variant that does: `selfhost recipe show MODEL`, `selfhost plan MODEL --on DEVICE`",
    ),
    "target.no_accelerator": Text(
        "no device there runs engine `{engine}`",
        "there: {listed}",
        "bundle another engine: `--engine cpu`",
    ),
    "target.idle_accelerators": Text(
        "engine `{engine}` leaves the accelerators there unused",
        "there: {count} x {found}",
        "bundle the engine for them: `--engine cuda` for NVIDIA GPUs",
    ),
    "target.unread_driver": Text(
        "the version of the NVIDIA driver there cannot be read: {found}",
        hint="look at what `nvidia-smi` says there, then " + _DETECT,
    ),
    "target.disk_unknown": Text(
        "nothing is known of the disks there",
        "needed: {needed}",
        _DETECT,
    ),
    "target.no_links": Text(
        "the file system there has no links: {file_system}",
        "{path}",
        "set `SELFHOST_HOME` there to a folder on ext4 or xfs, then " + _DETECT,
    ),
    "target.no_space": Text(
        "not enough space there",
        "needed: {needed}\nfree: {free} in {path}",
        "free some space there, or set `SELFHOST_HOME` to a larger file system, then " + _DETECT,
    ),
}
