"""Check the volumes of a selfhost bundle with nothing but Python 3.6 or newer.

    python3 verify.py                        the volume this file lies in
    python3 verify.py /mnt/a/... /mnt/b/...  these volumes
    python3 verify.py --key KEY.pub ...      whose signature, by `ssh-keygen`; KEY.pub must not come from the medium

Nothing is written to the volumes. Without --key this tells damage, not forgery: whoever can change the volume can
change this file. Of several signatures `ssh-keygen` checks the first.

Exit codes: 0 right; 2 usage; 4 `ssh-keygen` is missing; 5 damaged, or more there than listed; 6 signature;
7 incomplete.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional

OK, USAGE, MISSING, INTEGRITY, TRUST, INCOMPLETE = 0, 2, 4, 5, 6, 7
SUMS, SIGNATURE, BUNDLE, NAMESPACE = "SHA256SUMS", "SHA256SUMS.sig", "bundle.json", "selfhost-bundle"
MAX_METADATA_BYTES, BUFFER_BYTES = 64 << 20, 4 << 20
ARMOUR = re.compile(rb"(-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=]+\n)+-----END SSH SIGNATURE-----(\n|\Z))+")
BLOCK = re.compile(rb"SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END")
LINE = re.compile(r"([0-9a-f]{64})  ([^\x00-\x1f\x7f\\]+)")

Problem = NamedTuple("Problem", [("code", int), ("text", str)])


class RefusedError(Exception):
    """Nothing more can be told about this volume."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(code, text)


def main(arguments: Optional[List[str]] = None) -> int:
    """Check what the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(description="Check the volumes of a selfhost bundle; nothing is written to them.")
    parser.add_argument("volumes", nargs="*", metavar="VOLUME", help="default: where this file lies")
    parser.add_argument("--key", action="append", default=[], metavar="KEY.pub", help="who must have signed (OpenSSH)")
    given = parser.parse_args(arguments)
    volumes = given.volumes or [os.path.dirname(os.path.realpath(__file__))]
    problems = []  # type: List[Problem]
    bundles = []  # type: List[Dict[str, Any]]
    for volume in volumes:
        try:
            found = check(volume, given.key, bundles)
        except RefusedError as refused:
            found = [refused.problem]
        problems += [Problem(problem.code, "{}: {}".format(volume, problem.text)) for problem in found]
    problems += together(bundles)
    for problem in problems:
        say(problem.text)
    if not given.key:
        say("whose signature: not checked (no --key); this tells damage, not forgery")
    count = len(bundles[0]["volumes"]) if bundles else "?"
    say("{} of {} volumes read; problems: {}".format(len(bundles), count, len(problems)))
    return worst(problems)


def say(text: str) -> None:
    """Print a line, with escapes for what a terminal would obey or does not have."""
    encoding = sys.stdout.encoding or "ascii"
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    print(plain.encode(encoding, "backslashreplace").decode(encoding))


def worst(problems: List[Problem]) -> int:
    """The exit code: what cannot be trusted before what is damaged before what is not there."""
    codes = {problem.code for problem in problems}
    return next((code for code in (TRUST, MISSING, USAGE, INTEGRITY, INCOMPLETE) if code in codes), OK)


def check(volume: str, keys: List[str], bundles: List[Dict[str, Any]]) -> List[Problem]:
    """What is wrong with one volume; what its bundle.json says is added to `bundles`."""
    sums = read(os.path.join(volume, SUMS))
    check_signature(volume, sums, keys)
    listed = parse(sums)
    problems = structure(volume, listed)
    for done, (path, digest) in enumerate(sorted(listed.items())):
        if sys.stderr.isatty():
            sys.stderr.write("\r{} of {} files ".format(done, len(listed)))
        problems += check_file(volume, path, digest)
    bundle = describe(volume, listed)
    bundles.append(bundle)
    try:
        return problems + against(bundle, listed)
    except (KeyError, TypeError, AttributeError):
        refuse("{} does not describe its blobs".format(BUNDLE))


def read(path: str, absent: int = INCOMPLETE) -> bytes:
    """A small file of a volume, not by a link."""
    try:
        with open_plain(path) as stream:
            data = stream.read(MAX_METADATA_BYTES + 1)  # type: bytes
    except FileNotFoundError:
        raise RefusedError(absent, "missing: {}".format(os.path.basename(path))) from None
    except OSError as error:
        raise RefusedError(INTEGRITY, "unreadable: {} ({})".format(os.path.basename(path), error.strerror)) from error
    if len(data) > MAX_METADATA_BYTES:
        raise RefusedError(INTEGRITY, "too large: {}".format(os.path.basename(path)))
    return data


def open_plain(path: str) -> Any:
    """Open a file for reading; a link in its last place is an error (of the others `structure` tells)."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.fdopen(os.open(path, flags), "rb", buffering=0)


def check_signature(volume: str, sums: bytes, keys: List[str]) -> None:
    """Have `ssh-keygen` check the signature over exactly these bytes; without keys only that somebody made it so."""
    signature = b""
    if keys or os.path.lexists(os.path.join(volume, SIGNATURE)):
        signature = read(os.path.join(volume, SIGNATURE), TRUST)
    tool = shutil.which("ssh-keygen")
    if not keys and (tool is None or not signature):
        return
    if tool is None:
        raise RefusedError(MISSING, "ssh-keygen is missing: install OpenSSH's client (8.1 or newer)")
    if not ARMOUR.fullmatch(signature) or any(
        block.replace(b"\n", b"") != recoded(block) for block in BLOCK.findall(signature)
    ):
        raise RefusedError(TRUST, "damaged: {}".format(SIGNATURE))
    folder = tempfile.mkdtemp()
    try:
        allowed, copy = os.path.join(folder, "allowed_signers"), os.path.join(folder, SIGNATURE)
        with open(allowed, "w") as stream:
            stream.writelines("bundle {}\n".format(key_line(path)) for path in keys)
        with open(copy, "wb") as out:
            out.write(signature)
        how = ["verify", "-f", allowed, "-I", "bundle"] if keys else ["check-novalidate"]
        argv = [tool, "-Y", *how, "-n", NAMESPACE, "-s", copy]
        done = subprocess.run(argv, input=sums, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    finally:
        shutil.rmtree(folder)
    said = done.stdout.decode("utf-8", "replace").strip()
    old = done.returncode and re.match(r".*option -- '?Y", said)  # that says nothing of the signature
    if old and keys:
        raise RefusedError(MISSING, "ssh-keygen is too old: OpenSSH's client 8.1 or newer is needed")
    if done.returncode and not old:
        raise RefusedError(TRUST, "signature refused: {}".format(said))
    say("{}: {}".format(volume, "signature not checked: ssh-keygen is older than 8.1" if old else said))


def recoded(block: bytes) -> bytes:
    """As it would be written: unused bits of base64 are a place to change something unnoticed."""
    try:
        return base64.b64encode(base64.b64decode(block.replace(b"\n", b""), validate=True))
    except ValueError:
        return b""


def key_line(path: str) -> str:
    """The one key in a file, as a line of allowed signers without its principal."""
    try:
        with open(path) as stream:
            lines = [line.split() for line in stream if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(USAGE, "cannot read the key {}: {}".format(path, error)) from error
    if len(lines) != 1 or len(lines[0]) == 1 or not re.match(r"(sk-)?(ssh|ecdsa)-", lines[0][0]):
        raise RefusedError(USAGE, "not one public key in OpenSSH's form: {}".format(path))
    return " ".join(lines[0][:2])


def parse(sums: bytes) -> Dict[str, str]:
    """Path -> sha256."""
    listed = {}  # type: Dict[str, str]
    folded = set()
    try:
        lines = sums.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        refuse("{} is not text".format(SUMS))
    if lines.pop() != "":
        refuse("{} is cut off".format(SUMS))
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        if match is None:
            refuse("{} line {} is not `<64 hex digits>  <path>`".format(SUMS, number))
        path = match.group(2)
        if any(part in ("", ".", "..") for part in path.split("/")) or ":" in path:
            refuse("{} line {} leads out of the volume: {!r}".format(SUMS, number, path))
        if path in (SUMS, SIGNATURE) or path.lower() in folded:
            refuse("{} line {} should not be there: {!r}".format(SUMS, number, path))
        folded.add(path.lower())
        listed[path] = match.group(1)
    if BUNDLE not in listed:
        refuse("{} does not list {}".format(SUMS, BUNDLE))
    return listed


def refuse(text: str) -> NoReturn:
    """Stop looking at this volume."""
    raise RefusedError(INTEGRITY, text)


def structure(volume: str, listed: Dict[str, str]) -> List[Problem]:
    """What is there and should not be: files nobody listed, links, devices."""
    problems, waiting = [], [""]
    while waiting:
        folder = waiting.pop()
        try:
            names = sorted(os.listdir(os.path.join(volume, folder)))
        except OSError as error:
            problems.append(Problem(INTEGRITY, "unreadable: {} ({})".format(folder or ".", error.strerror)))
            continue
        for name in names:
            path = folder + "/" + name if folder else name
            mode = os.lstat(os.path.join(volume, path)).st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif not stat.S_ISREG(mode):
                problems.append(Problem(INTEGRITY, "not a plain file: {!r}".format(path)))
            elif path not in listed and path not in (SUMS, SIGNATURE):
                problems.append(Problem(INTEGRITY, "not listed: {!r}".format(path)))
    return problems


def check_file(volume: str, path: str, wanted: str) -> List[Problem]:
    """What is wrong with one file."""
    full = os.path.join(volume, path)
    try:
        if not stat.S_ISREG(os.lstat(full).st_mode):
            return [Problem(INTEGRITY, "not a plain file: {}".format(path))]
        digest = digest_of(full)
    except (FileNotFoundError, NotADirectoryError):
        return [Problem(INCOMPLETE, "missing: {}".format(path))]
    except OSError as error:
        return [Problem(INTEGRITY, "unreadable: {} ({})".format(path, error.strerror))]
    return [] if digest == wanted else [Problem(INTEGRITY, "damaged: {}".format(path))]


def digest_of(path: str) -> str:
    """The sha256 of a file, in hex."""
    digest, view = hashlib.sha256(), memoryview(bytearray(BUFFER_BYTES))
    with open_plain(path) as stream:
        for count in iter(lambda: stream.readinto(view), 0):
            digest.update(view[:count])
    return digest.hexdigest()


def describe(volume: str, listed: Dict[str, str]) -> Dict[str, Any]:
    """What bundle.json says, if it is what was listed."""
    data = read(os.path.join(volume, BUNDLE))
    if hashlib.sha256(data).hexdigest() != listed[BUNDLE]:
        refuse("damaged: {}".format(BUNDLE))
    try:
        bundle = json.loads(data.decode("utf-8"))
        if bundle["schema_version"] not in (1, 2):
            refuse("{} is of version {}; this checks 1 and 2".format(BUNDLE, bundle["schema_version"]))
        numbers = [volume["number"] for volume in bundle["volumes"]]
        if bundle["volume"] not in numbers or len(set(numbers)) != len(numbers):
            refuse("{} does not describe its own volume".format(BUNDLE))
    except (ValueError, KeyError, TypeError, RecursionError):
        refuse("{} is not what a bundle has".format(BUNDLE))
    return dict(bundle)


def against(bundle: Dict[str, Any], listed: Dict[str, str]) -> List[Problem]:
    """What this volume should have by bundle.json and does not list."""
    problems = []
    here = next(volume for volume in bundle["volumes"] if volume["number"] == bundle["volume"])
    for blob in here["blobs"]:
        pieces = {"blobs/sha256/" + blob["sha256"]: blob["sha256"]}
        if blob.get("chunks"):
            numbered = [one for one in enumerate(blob["chunks"]) if one[1].get("volume") in (None, bundle["volume"])]
            pieces = {"chunks/{}/{:05d}".format(blob["sha256"], n): piece["sha256"] for n, piece in numbered}
        for path, digest in sorted(pieces.items()):
            if path not in listed:
                problems.append(Problem(INCOMPLETE, "not listed, but wanted by {}: {}".format(BUNDLE, path)))
            elif listed[path] != digest:
                problems.append(Problem(INTEGRITY, "listed with another digest than in {}: {}".format(BUNDLE, path)))
    return problems


def together(bundles: List[Dict[str, Any]]) -> List[Problem]:
    """Whether volumes belong together; volumes that were not given are told, and are no problem."""
    problems = []
    if len({json.dumps(dict(bundle, volume=0), sort_keys=True) for bundle in bundles}) > 1:
        problems.append(Problem(INTEGRITY, "the volumes are of different bundles"))
    elif len({bundle["volume"] for bundle in bundles}) != len(bundles):
        problems.append(Problem(INTEGRITY, "one volume was given twice"))
    for volume in bundles[0]["volumes"] if bundles and not problems else ():
        if volume["number"] not in {bundle["volume"] for bundle in bundles}:
            say("not looked at: volume {}, {}".format(volume["number"], volume.get("label", "")))
    return problems


if __name__ == "__main__":
    sys.exit(main())
