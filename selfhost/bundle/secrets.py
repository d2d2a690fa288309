"""What must never cross the gap on a medium: private keys, tokens, files of passwords. Bytes in, a refusal out.

This catches accidents (a token file that lies in the model's folder), not intent: what is encoded or inside an archive
is not found.
"""

from __future__ import annotations

import re

from selfhost.bundle.keys import is_private
from selfhost.errors import TrustError

LOOK_BYTES = 1 << 20
"""Files up to this size are worth reading whole for `refuse_secret`; of others the first bytes."""

_NAMES = frozenset(
    {
        *(".netrc", "_netrc", ".git-credentials", ".pypirc", ".npmrc", ".htpasswd", ".pgpass"),
        *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk"),
        *("stored_tokens", "credentials.json"),
    }
)
_TOKENS = {
    "a token of Hugging Face": re.compile(rb"(?<![A-Za-z0-9_])hf_([A-Za-z0-9]{34,})(?![A-Za-z0-9_])"),
    "a token of ModelScope": re.compile(
        rb"(?<![A-Za-z0-9_-])ms-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])"
    ),
    "a token of GitHub": re.compile(rb"(?<![A-Za-z0-9_])(?:gh[pousr]|github_pat)_([A-Za-z0-9_]{36,})"),
    "a key of AWS": re.compile(rb"(?<![A-Za-z0-9])(?:AKIA|ASIA)([A-Z0-9]{16})(?![A-Za-z0-9])"),
    "an API key": re.compile(
        rb"(?<![A-Za-z0-9_-])sk-((?:proj|ant-api[0-9]+|selfhost)-[A-Za-z0-9_-]{40,}|[A-Za-z0-9]{40,})"
    ),
}
_MIN_LETTERS = 8
"""Different characters of a token; `hf_xxxxxxxx...` in a manual has fewer."""


def refuse_secret(path: str, head: bytes) -> None:
    """Raise TrustError when a file is, or holds, a secret.

    head: the file's first bytes, LOOK_BYTES of them at most.
    """
    if kind := _kind(path, head):
        raise TrustError("trust.secret", path=path, kind=kind)


def _kind(path: str, head: bytes) -> str:
    if path.rpartition("/")[2].lower() in _NAMES:
        return "a file of this name holds passwords or keys"
    if is_private(head):
        return "a private key"
    if b"\0" in head:  # no text: what looks like a token in weights is chance
        return ""
    for kind, pattern in _TOKENS.items():
        if any(len(set(found)) >= _MIN_LETTERS for found in pattern.findall(head)):
            return kind
    return ""
