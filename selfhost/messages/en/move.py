"""Messages about moving bytes of files over HTTP."""

from selfhost.messages import Text

MESSAGES = {
    # What went wrong with one request, and is tried again
    "move.stalled": Text("`{host}` stopped sending"),
    "move.no_connection": Text("the connection to `{host}` failed: {detail}"),
    "move.ended": Text("`{host}` ended the connection too early"),
    "move.cut": Text("the connection ended {missing:,} bytes too early"),
    "move.bad_range": Text("the server answered `Content-Range: {found}` for bytes {begin}-{end}"),
    "move.no_partial": Text("the server sent the whole file for a part of it"),
    "move.status": Text("`{url}` answered HTTP {status}"),
    "move.expired": Text("the address has expired: `{url}` answered HTTP {status}"),
    "move.unnamed": Text("bytes {begin}-{end}"),
    # Notes
    "move.note_retry": Text("{reason}; trying again in {seconds:.0f} s"),
    "move.note_waiting": Text("another process is downloading this file; waiting for it"),
    "move.note_left": Text("what an earlier download left does not belong to this file; starting over"),
    "move.note_no_ranges": Text("the server sends whole files only: an interrupted download of this one starts over"),
    "move.note_changed": Text("the file changed at the source while it was downloaded; starting over once"),
    "move.note_mismatch": Text("the digest is wrong, fetching the file once more: wanted {wanted}, found {found}"),
    # Final
    "move.gave_up": Text(
        "download of `{path}` given up after {count} failures in a row",
        "the last one: {detail}",
        "what arrived is kept: run the same command again to go on from there",
    ),
    "move.token": Text(
        "not allowed to download `{path}`",
        "`{url}` answered HTTP {status}: it wants a token, or another one, or its licence was not accepted there",
        "accept the licence on the model's page, then set a token: `export HF_TOKEN=...`",
    ),
    "move.absent": Text(
        "the source has no file `{path}`",
        "`{url}` answered HTTP {status}",
        "check the revision, or take another source",
    ),
    "move.refused": Text(
        "the source refused to send `{path}`",
        "`{url}` answered HTTP {status}",
        "see what it says: `curl -i {url}`",
    ),
    "move.changed": Text(
        "`{path}` changed at the source while it was downloaded",
        "its ETag is another one, and no digest is known that would tell which is right",
        "run the same command again; pin a revision when it happens again",
    ),
    "move.size": Text(
        "`{path}` has another size at the source",
        "wanted {wanted:,} bytes, found {found:,} at `{url}`",
        "the source holds another version of the file, or not all of it: take another one",
    ),
    "move.too_long": Text(
        "the source sends more of `{path}` than there is",
        "wanted {wanted:,} bytes, more came",
        "the source holds another version of the file: take another one",
    ),
    "move.digest": Text(
        "`{path}` is not the file that was promised",
        "wanted {wanted}\nfound  {found}\nit was fetched twice, and removed",
        "take another source: this one, or a proxy before it, sends other bytes",
    ),
    "move.page": Text(
        "a web page came instead of `{path}`",
        "`{url}` answered with HTML: a log-in page, or a proxy's message",
        "open the address in a browser on this machine, or set `HTTPS_PROXY` and `NO_PROXY` as your network needs them",
    ),
    "move.encoded": Text(
        "`{path}` came compressed",
        "`{url}` answered with `Content-Encoding: {found}` though none was asked for",
        "a proxy before it changes what it passes on: let it pass this host untouched, see `NO_PROXY`",
    ),
    "move.redirects": Text(
        "the source of `{path}` redirects without end",
        "more than {count} redirects, the last one to `{url}`",
        "check the address of the source",
    ),
    "move.bad_redirect": Text(
        "the source of `{path}` leads to an address that is not taken",
        "`{url}` leads to `{found}`: not HTTP, or less safe than where it came from",
        "check the address of the source",
    ),
    "move.bad_address": Text(
        "not an address: `{url}`",
        "it was to be the source of `{path}`",
        "check the address of the source",
    ),
    "move.certificate": Text(
        "the certificate of `{host}` cannot be verified",
        "{detail}",
        "behind a proxy that inspects traffic, name its certificate: `export SSL_CERT_FILE=/path/to/ca.pem`",
    ),
    "move.proxy_scheme": Text(
        "not a proxy that can be used: `{found}`",
        "wanted: `http://host:port` or `https://host:port`",
        "set `HTTPS_PROXY` to one, or unset it",
    ),
    "move.no_length": Text(
        "the source does not tell how large `{path}` is",
        "without a size and a digest nobody can tell whether all of it came",
        "take another source",
    ),
    "move.no_ranges": Text(
        "the source cannot send a part of `{path}`",
        "it answers range requests with the whole file",
        "take another source",
    ),
    "move.too_large": Text(
        "the file system takes no file as large as `{path}`",
        "{detail}",
        "set `SELFHOST_HOME` to another file system; FAT takes 4 GiB at most; see `ulimit -f` as well",
    ),
    "move.disk": Text(
        "the disk failed under `{path}`",
        "{detail}",
        "check the disk or the network file system, then run the same command again",
    ),
    "move.no_locks": Text(
        "the file system of `{path}` takes no locks",
        "{detail}",
        "mount it with locks (NFS: without `nolock`, or `local_lock=flock`), or set `SELFHOST_HOME` to another one",
    ),
}
