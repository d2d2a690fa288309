"""Takes out of a report what is nobody's business: keys, texts of requests, names of users and machines, addresses.

In doubt something is taken out: a report that lost a version number is better than one that has a password. Equal
addresses get equal numbers, so that a log can still be followed. Not covered: names of models and of folders outside
home directories, and secrets that look like ordinary words and are in no variable, file or flag that is known.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECRET, REQUEST, USER, HOST = "[secret]", "[text of a request]", "[user]", "[host]"
_SHORTEST_SECRET = 6
_SHORTEST_NAME = 3
_ORDINARY_USERS = {"root", "nobody", "user", "ubuntu", "debian", "admin"}
_PUBLIC_HOSTS = (
    *("localhost", "huggingface.co", "hf-mirror.com", "modelscope.cn", "github.com", "githubusercontent.com"),
    *("quay.io", "vllm.ai", "nvidia.com", "pytorch.org", "python.org", "kernel.org", "gitcode.com", "freedesktop.org"),
)
_VERSION_KEYS = {"ascend_driver", "cann", "nvidia_driver", "kernel_driver", "version", "versions", "packages", "kernel"}
"""Their values may have four numbers, as addresses have."""
_HOST_KEYS = {"hostname"}

_CONFIDENTIAL = (
    r"(?:(?:api|access|secret|private|encryption|signing|auth|shared|master|account)[_-]?keys?(?:[_-]?id)?|token|secret"
    r"|pass(?:word|wd|phrase)?|pwd|credentials?|auth|signature|sig|cookie|authorization|密码|口令|令牌|密钥)"
)
_NAME = (
    rf"(?:(?<![A-Za-z]){_CONFIDENTIAL}|password|passwd|secret|(?<=auth)token"
    r"|(?-i:(?<=[a-z])(?:Token|Secret|Pass(?:word|wd|phrase)|(?:Api|Access|Secret|Private)Key|Credentials?)))"
)
SECRET_NAME = re.compile(rf"{_NAME}$", re.IGNORECASE)
"""Of a variable, a flag or a key whose value is a secret."""

_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_SHAPES = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{8,}|hf_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|A(?:KIA|SIA)[A-Z0-9]{16}|LTAI[A-Za-z0-9]{12,}|AIza[\w-]{30,}|ms-[0-9a-f]{8}-[0-9a-f-]{12,}"
    r"|eyJ[\w-]{10,}\.[\w-]{6,}\.[\w-]*)"
)
_AUTH = re.compile(r"(\b(?:(?i:Bearer)|Basic|Digest|Token)\s+)[A-Za-z0-9._~+/=-]{6,}")
_COOKIE = re.compile(r"(\bcookie[\"']?\s*[:=]\s*[\"']?)(?!\[secret\])[^\s\"'][^\n\"']*", re.IGNORECASE)
_FLAG = re.compile(
    rf"((?<![\w-])--?[\w-]{{0,60}}?{_NAME}(?:\s{{1,9}}|=))(?!-|\[secret\])(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s'\"]\S*)",
    re.IGNORECASE,
)
_VALUE = (
    r"(?:b?\\+\"(?:[^\"\\\n]|\\(?!\").)*\\*\"?|b?\"(?:[^\"\\\n]|\\.)*\"?|b?\\+'(?:[^'\\\n]|\\(?!').)*\\*'?"
    r"|b?'(?:[^'\\\n]|\\.)*'?|\[(?!secret\])[^\]\n]*\]?|(?:(?:Bearer|Basic|Digest|Token)\s+)?"
    r"(?!None\b|null\b|True\b|False\b|\[secret\])[^\s\"',;&}\])]+)"
)
"""A string to its end, a list to its end, or a word."""
_ASSIGNED = re.compile(
    rf"({_NAME}\\*[\"']?(?:\s*(?:[:=：]|,(?=\s*b?[\"']))\s*|(?<=key)\s(?=\S)))(?![\"']?\[secret\]){_VALUE}",  # noqa: RUF001
    re.IGNORECASE,
)
# A password may have the characters that should be written as %40 and %2F.
_USERINFO = re.compile(
    r"((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://)"
    r"(?:[^\s/\"'<>]{1,500}|[^\s:/@\"'<>]{0,200}:[^\s\"'<>]{1,300})@",
    re.IGNORECASE,
)
_BARE_USERINFO = re.compile(r"(?<![\w/@.:+-])[\w.+-]{1,64}:[^\s/@\"',:]{3,100}@(?!sha\d)(?=[A-Za-z0-9\[])")
_QUERY = re.compile(r"(https?://[^\s\"'?<>]+)\?[^\s\"'<>]+", re.IGNORECASE)
_URL_HOST = re.compile(
    r"((?:https?|tcp|udp|grpcs?|wss?|ssh|git|s?ftp|nfs|rediss?|amqps?|postgres(?:ql)?|mysql|mongodb|socks5h?|s3|oss|obs)"
    r"://(?:\[secret\]@)?)(?=[^\s/]{0,253}[A-Za-z])([A-Za-z0-9][A-Za-z0-9.-]{0,252})",
    re.IGNORECASE,
)
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
# From the marker to the end of the line: what a user wrote may have any form. Source: vLLM 0.32.0,
# entrypoints/serve/utils/request_logger.py; pydantic's `input_value`.
_REQUEST = re.compile(
    r"((?:\b(?:prompts?|messages|content|reasoning(?:_content)?|input_value|inputs?|outputs?|generated_text|text|query"
    r"|documents?|arguments|body|(?:prompt_|output_)?token_ids)|JSON body)[\"']?\s*[:=]\s*)(?=[\"'\[{bu]).*",
    re.IGNORECASE,
)
_HOME = re.compile(r"(/(?:home|Users)/)[^/\s\"':]+")
_IPV4 = re.compile(r"(?<![A-Za-z0-9.])(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9.]*\d)")
_IPV4_NAME = re.compile(r"(?<![\w-])ip(?:-\d{1,3}){4}(?![\w-])")
"""The name that some clouds give a machine."""
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,39}(?![\w:])")
_MAC = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])")
_UUID = re.compile(r"\b(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)


_LONG = re.compile(r"[^\n]{4001,}")
"""Of a line: patterns take their time on long ones, and nobody reads them."""


def _shortened(found: re.Match[str]) -> str:
    return f"{found[0][:4000]} [and {len(found[0]) - 4000} more characters]"


class Redactor:
    """Takes things out, and counts how many."""

    def __init__(
        self,
        *,
        secrets: Iterable[str] = (),
        users: Iterable[str] = (),
        homes: Iterable[str] = (),
        hosts: Iterable[str] = (),
        keep_addresses: bool = False,
    ) -> None:
        self.count = 0
        self._numbers: dict[str, dict[str, int]] = {}
        self._keep_addresses = keep_addresses
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._homes = sorted({h.rstrip("/") for h in homes if len(h.rstrip("/")) > 1}, key=len, reverse=True)
        users = {u for u in users if len(u) >= _SHORTEST_NAME and u.lower() not in _ORDINARY_USERS}
        self._users = _words(users)
        self._hosts = _words({h for h in hosts if len(h) >= _SHORTEST_NAME and h != "localhost"}, r"(?:\.[\w-]+)*")

    def text(self, said: str, *, addresses: bool = True) -> str:
        """A text without what must not leave; very long lines lose their end."""
        for secret in self._secrets:
            said = self._literal(said, secret, SECRET)
        said = _LONG.sub(_shortened, said)
        said = self._replace(_BLOCK, SECRET, said)
        said = self._replace(_REQUEST, rf"\1{REQUEST}", said)
        said = self._replace(_AUTH, rf"\1{SECRET}", said)
        said = self._replace(_SHAPES, SECRET, said)
        for assigned in (_COOKIE, _FLAG, _ASSIGNED):
            said = self._replace(assigned, rf"\1{SECRET}", said)
        said = self._replace(_USERINFO, rf"\1{SECRET}@", said)
        said = self._replace(_BARE_USERINFO, f"{SECRET}@", said)
        said = self._replace(_QUERY, r"\1?[query]", said)
        for home in self._homes:
            said = self._literal(said, home, "~")
        said = self._replace(_HOME, rf"\1{USER}", said)
        said = self._replace(_MAIL, "[mail]", said)
        for pattern, name in ((self._users, USER), (self._hosts, HOST)):
            if pattern:
                said = self._replace(pattern, name, said)
        return said if self._keep_addresses or not addresses else self._addresses(said)

    def value(self, given: Any, key: str = "") -> Any:
        """The same for everything in a JSON value, keys included; a value under a secret's name goes as a whole."""
        if isinstance(given, str):
            if given and (SECRET_NAME.search(key) or key in _HOST_KEYS):
                self.count += 1
                return HOST if key in _HOST_KEYS else SECRET
            return self.text(given, addresses=key not in _VERSION_KEYS)
        if isinstance(given, Mapping):
            inner = key if key in _VERSION_KEYS else None
            return {self.text(str(name)): self.value(item, inner or str(name)) for name, item in given.items()}
        if isinstance(given, list | tuple):
            return self._list(list(given), key)
        return given

    def _list(self, given: list[Any], key: str) -> list[Any]:
        """Items of a list; of a command line, what follows `--api-key` is a secret."""
        found, before = [], ""
        for item in given:
            follows = before.startswith("-") and SECRET_NAME.search(before.lstrip("-"))
            found.append(self.value(item, before.lstrip("-") if follows else key))
            before = item if isinstance(item, str) else ""
        return found

    def _addresses(self, said: str) -> str:
        said = _UUID.sub(self._numbered("uuid"), said)
        said = _MAC.sub(self._numbered("mac"), said)
        said = _IPV4.sub(self._address, said)
        said = _IPV4_NAME.sub(self._numbered("ip"), said)
        said = _IPV6.sub(self._address, said)
        return _URL_HOST.sub(self._url_host, said)

    def _address(self, found: re.Match[str]) -> str:
        # `fd00::17:29500`: a port may follow without brackets.
        host, colon, port = found[0].rpartition(":")
        address = _parsed(found[0]) or (_parsed(host) if colon and port.isdecimal() else None)
        if address is None:
            return found[0]
        return found[0] if address.is_loopback or address.is_unspecified else self._numbered("ip")(found)

    def _url_host(self, found: re.Match[str]) -> str:
        host = found[2].lower().rstrip(".")
        if any(host == public or host.endswith(f".{public}") for public in _PUBLIC_HOSTS):
            return found[0]
        return found[1] + self._number("host", host)

    def _numbered(self, kind: str) -> Callable[[re.Match[str]], str]:
        return lambda found: self._number(kind, found[0].lower())

    def _number(self, kind: str, value: str) -> str:
        self.count += 1
        known = self._numbers.setdefault(kind, {})
        return f"[{kind} {known.setdefault(value, len(known) + 1)}]"

    def _replace(self, pattern: re.Pattern[str], by: str, said: str) -> str:
        said, number = pattern.subn(by, said)
        self.count += number
        return said

    def _literal(self, said: str, what: str, by: str) -> str:
        self.count += said.count(what)
        return said.replace(what, by)


def _parsed(said: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(said)
    except ValueError:
        return None


def _words(names: Iterable[str], tail: str = "") -> re.Pattern[str] | None:
    """Any of the names as a word of its own."""
    listed = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{listed}){tail}(?![\w-])", re.IGNORECASE) if listed else None
