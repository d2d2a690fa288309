"""Messages about certificates of servers."""

from selfhost.messages import Text

MESSAGES = {
    "tls.both": Text(
        "a certificate needs its key, and a key its certificate",
        "only `{flag}` was given",
        "give both: `--ssl-certfile FILE --ssl-keyfile FILE`",
    ),
    "tls.unreadable": Text(
        "`{path}` cannot be read",
        "{detail}",
        "name a file in PEM that this user may read",
    ),
    "tls.no_certificate": Text(
        "no certificate in `{path}`",
        "wanted: PEM, `-----BEGIN CERTIFICATE-----`, the server's own first, then those that lead to a root",
        "turn DER into PEM: `openssl x509 -inform der -in FILE -out FILE.pem`",
    ),
    "tls.encrypted": Text(
        "the key in `{path}` has a password",
        "a server that starts by itself has nobody to ask for it",
        "write one without: `openssl pkey -in {path} -out server.key`, then `chmod 600 server.key`",
    ),
    "tls.mismatch": Text(
        "`{keyfile}` is not the key of the certificate in `{certfile}`",
        "their public keys differ; of several certificates the server's own must come first",
        "see what the file has: `openssl x509 -in {certfile} -noout -subject -enddate`",
    ),
    "tls.bad_pair": Text(
        "no server can be started with `{certfile}` and `{keyfile}`",
        "{detail}",
        "both must be PEM, of which `openssl x509 -in {certfile} -noout` and "
        "`openssl pkey -in {keyfile} -noout` say nothing",
    ),
    "tls.not_now": Text(
        "the certificate in `{path}` is not valid now",
        "from {begins} until {ends}",
        "renew it, or look at this machine's clock: `date -u`",
    ),
}
