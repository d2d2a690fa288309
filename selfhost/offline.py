"""Offline: nothing outside this machine is connected to, by selfhost or by any process it starts.

Everything that opens a connection asks `check_allowed` first; what cannot be told for sure is refused.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.parse
from typing import TYPE_CHECKING

from selfhost.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

VARIABLE = "SELFHOST_OFFLINE"
FOR_CHILDREN = {
    VARIABLE: "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "PIP_NO_INDEX": "1",
}
"""What makes the programs that are started here stay off the network too."""
_ON = ("1", "true", "yes")
_OFF = ("", "0", "false", "no")
_LOOPBACK = "localhost"
# A proxy is another machine: what lies on this one is never asked for there.
_NO_PROXY = ("localhost", "127.0.0.1", "::1")


def is_offline(environ: Mapping[str, str] | None = None) -> bool:
    """Whether `SELFHOST_OFFLINE` says so. Raises UsageError for a value that is neither yes nor no."""
    value = (os.environ if environ is None else environ).get(VARIABLE, "")
    if (plain := value.strip().lower()) in _OFF:
        return False
    if plain not in _ON:
        raise UsageError("places.bad_offline", variable=VARIABLE, value=value)
    return True


def set_offline(environ: MutableMapping[str, str] | None = None) -> None:
    """Offline from here on: for this process and, by the environment, for all that it starts."""
    target = os.environ if environ is None else environ
    target.update(FOR_CHILDREN)
    for name in ("NO_PROXY", "no_proxy"):
        listed = [host for host in target.get(name, "").split(",") if host.strip()]
        target[name] = ",".join([*listed, *(host for host in _NO_PROXY if host not in listed)])


def settle(*, flag: bool) -> bool:
    """Whether this command is offline, by `--offline` or by the environment; if so, its children are too."""
    offline = is_offline() or flag
    if offline:
        set_offline()
    return offline


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine: `localhost`, 127.0.0.0/8 or ::1. Other names are not looked up."""
    host = _host(url)
    try:
        return host == _LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(url: str) -> str:
    if "\\" in url or any(character.isspace() for character in url):
        # Programs disagree where the host of such a one ends.
        return ""
    try:
        return urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""


def check_allowed(url: str) -> None:
    """Raises IncompleteError when offline and `url` leads to another machine; asked before each connection."""
    if is_offline() and not is_loopback(url):
        raise IncompleteError("places.offline", host=_host(url) or "?")
