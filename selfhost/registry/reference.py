"""Names of what a registry holds: `host[:port]/repository[:tag][@digest]`.

Source: OCI distribution-spec 1.1, "Pulling manifests", for repositories and tags; the host is what a URL takes.
"""

from __future__ import annotations

import re

from selfhost.errors import UsageError
from selfhost.records import dataclass

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::(\d{{1,5}}))?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_USER = re.compile(r"^([a-z]*:?//)?[^/@]*@")
_MAX_NAME = 255
_MAX_PORT = 65535
# The name of this one is not where it answers.
_ANSWERS_AT = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One name, taken apart."""

    host: str
    """With the port, where there is one."""
    repository: str
    tag: str = ""
    digest: str = ""
    """`sha256:<64 hex>`."""

    def __str__(self) -> str:
        """As it was written."""
        return f"{self.host}/{self.repository}{self.tag and ':' + self.tag}{self.digest and '@' + self.digest}"

    @property
    def address(self) -> str:
        """Where the registry answers: host, with port."""
        return _ANSWERS_AT.get(self.host, self.host)

    @property
    def wanted(self) -> str:
        """What a manifest is asked for by: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"


def parse_reference(text: str) -> Reference:
    """A name with a host. Raises UsageError.

    >>> parse_reference("registry.example:5000/models/qwen:v1").repository
    'models/qwen'
    """
    host, slash, rest = text.partition("/")
    rest, at, digest = rest.partition("@")
    repository, colon, tag = rest.partition(":")
    if not slash or not _is_host(host):
        raise _bad(
            text,
            f"{host.rpartition('@')[2]!a} is no registry: `localhost`, a name with a point or a port, or an address",
        )
    if at and not _DIGEST.fullmatch(digest):
        raise _bad(text, f"{digest[:80]!a} is no digest: `sha256:` and 64 of `0-9a-f`")
    if colon and not is_tag(tag):
        raise _bad(text, f"{tag[:80]!a} is no tag: at most 128 letters, digits, `_`, `.`, `-`")
    if not is_repository(repository) or len(host) + 1 + len(repository) > _MAX_NAME:
        raise _bad(
            text, f"{repository[:80]!a} is no repository: lower-case letters and digits, between them `.`, `_`, `-`"
        )
    return Reference(host=host, repository=repository, tag=tag, digest=digest)


def is_repository(text: str) -> bool:
    """Whether a registry may have a repository of this name."""
    return len(text) <= _MAX_NAME and bool(_REPOSITORY.fullmatch(text))


def is_tag(text: str) -> bool:
    """Whether this can be a tag."""
    return bool(_TAG.fullmatch(text))


def as_tag(text: str) -> str:
    """The tag nearest to a name.

    >>> as_tag("qwen2.5-7b/bf16")
    'qwen2.5-7b-bf16'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip(".-")[:128] or "_"


def _is_host(host: str) -> bool:
    found = _HOST.fullmatch(host)
    if not found or (found[1] and not 0 < int(found[1]) <= _MAX_PORT):
        return False
    # As everywhere: a first part without any of these is a repository of some default registry, and there is none.
    return "." in host or ":" in host or host == "localhost"


def _bad(text: str, detail: str) -> UsageError:
    # Who thinks of it as a URL may write a password into it: errors end up in logs.
    hidden = _USER.sub(lambda found: f"{found[1] or ''}...@", text)
    return UsageError("registry.bad_reference", given=hidden[:300], detail=detail)
