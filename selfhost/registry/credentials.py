"""Who one is to a registry, from where `docker login`, `podman login` and `skopeo login` left it.

    REGISTRY_AUTH_FILE, or else
    $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json, $DOCKER_CONFIG/config.json

In each file: the helper of this host, the entry of the longest prefix of host/repository, the helper of all hosts.
Nothing of it is ever shown. Source: containers-auth.json(5); docker-credential-helpers.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost.errors import MissingError, UsageError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_HELPER_S = 60.0
_MAX_BYTES = 4 << 20
_TOKEN_USER = "<token>"  # noqa: S105 - how helpers mark what is no password
_LEGACY_KEYS = {"docker.io": ("https://index.docker.io/v1/", "index.docker.io")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """A name and a password, or a token that stands for both."""

    user: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        """Without what is secret."""
        return "Credential()"

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find(host: str, repository: str, environ: Mapping[str, str] | None = None) -> Credential | None:
    """Who one is there; None: nobody has logged in.

    Raises UsageError for a file that cannot be understood, MissingError for a helper that cannot be run.
    """
    environ = os.environ if environ is None else environ
    for path in _files(environ):
        body = _read(path)
        if body and (found := _in_file(body, path, host, repository, environ)):
            return found
    return None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
        return
    home = Path(environ.get("HOME") or Path.home())
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers/auth.json")
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "containers/auth.json")
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker", "config.json")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as stream:
            body = json.loads(stream.read(_MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        # Not what the parser says: it may quote what is in there.
        detail = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise UsageError("registry.bad_auth_file", path=path, detail=detail) from None
    if not isinstance(body, dict):
        raise UsageError("registry.bad_auth_file", path=path, detail="it is no JSON object")
    return body


def _in_file(
    body: Mapping[str, Any], path: Path, host: str, repository: str, environ: Mapping[str, str]
) -> Credential | None:
    helpers, entries = _object(body, "credHelpers"), _object(body, "auths")
    keys = _keys(host, repository)
    for key in keys:
        if helper := helpers.get(key):
            return _from_helper(str(helper), key, environ)
    for key in keys:
        if (entry := entries.get(key)) and isinstance(entry, dict) and (found := _from_entry(entry, path)):
            return found
    store = body.get("credsStore")
    return _from_helper(str(store), _LEGACY_KEYS.get(host, (host,))[0], environ) if store else None


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _keys(host: str, repository: str) -> list[str]:
    """What an entry for this repository may be called, the narrowest first."""
    parts = repository.split("/")
    narrow = [f"{host}/{'/'.join(parts[:end])}" for end in range(len(parts), 0, -1)]
    return [*narrow, host, *_LEGACY_KEYS.get(host, ()), f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]


def _from_entry(entry: Mapping[str, Any], path: Path) -> Credential | None:
    token = str(entry.get("identitytoken") or "")
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if packed := entry.get("auth"):
        try:
            user, _, password = base64.b64decode(str(packed)).decode().partition(":")
        except ValueError:
            raise UsageError("registry.bad_auth_file", path=path, detail="an `auth` is not base64") from None
    return Credential(user=user, password=password.rstrip("\0"), identity_token=token) if user or token else None


def _from_helper(name: str, key: str, environ: Mapping[str, str]) -> Credential | None:
    program = f"docker-credential-{name}"
    found = shutil.which(program, path=environ.get("PATH")) if _HELPER.fullmatch(name) else None
    if found is None:
        raise MissingError("registry.helper", program=program, detail="it is not installed")
    try:
        ran = subprocess.run(
            [found, "get"], input=key.encode(), capture_output=True, timeout=_HELPER_S, check=False, env=dict(environ)
        )
    except (OSError, subprocess.TimeoutExpired):
        raise MissingError("registry.helper", program=program, detail="it cannot be run, or does not end") from None
    if ran.returncode:
        # All of them say so in the same words, and there may be an entry elsewhere.
        if b"credentials not found" in ran.stdout + ran.stderr:
            return None
        raise MissingError("registry.helper", program=program, detail=f"exit status: {ran.returncode}")
    try:
        said = json.loads(ran.stdout)
        user, secret = str(said["Username"]), str(said["Secret"])
    except (ValueError, KeyError, TypeError):
        raise MissingError("registry.helper", program=program, detail="its answer is not understood") from None
    return Credential(identity_token=secret) if user == _TOKEN_USER else Credential(user=user, password=secret)
