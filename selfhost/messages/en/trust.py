"""Messages about keys, signatures and who is trusted."""

from selfhost.messages import Text

MESSAGES = {
    "trust.private_key": Text(
        "a private key where a public key is wanted: `{path}`",
        "private keys stay with who signs",
        "put its public half there instead: `ssh-keygen -y -f KEY > NAME.pub`",
    ),
    "trust.bad_key": Text(
        "not a key that can be used: `{path}`",
        "{detail}",
        "make one that signs bundles and models: `ssh-keygen -t ecdsa -b 256 -f KEY`; its public half is `KEY.pub`",
    ),
    "trust.unreadable_key": Text(
        "the key cannot be read: `{path}`",
        "{detail}",
        "see who may read it: `ls -l {path}`",
    ),
    "trust.no_passphrase": Text(
        "the key is encrypted, and nobody can be asked for its passphrase: `{path}`",
        "",
        "let an agent have it: `ssh-add {path}`, then sign with its public half: `--sign-key {path}.pub`",
    ),
    "trust.wrong_passphrase": Text(
        "the passphrase does not open the key: `{path}`",
        "",
        "try it: `ssh-keygen -y -f {path}`",
    ),
    "trust.no_tool": Text(
        "`{tool}` is needed to sign with a key of the ssh-agent: `{path}`",
        "this is a public key, its private half is with the agent; only OpenSSH can ask for it",
        "install OpenSSH's client, for example `apt install openssh-client`, or name a private key",
    ),
    "trust.agent_refused": Text(
        "the ssh-agent did not sign with {fingerprint}",
        "ssh-keygen says: {detail}",
        "see which keys the agent has: `ssh-add -l`",
    ),
    "trust.malformed": Text(
        "the signature cannot be read",
        "{detail}",
        "get the bundle again from who made it; the signature is no longer what they wrote, or never was one",
    ),
    "trust.bad_signature": Text(
        "the signature does not belong to these contents",
        "it names the key {signer}; the list of files or the signature was changed after signing",
        "do not use this bundle; get it again from who made it",
    ),
    "trust.other_purpose": Text(
        "the signature was made for another purpose",
        "namespace found: {found}, wanted: {wanted}",
        "do not use this bundle; ask who made it for one that `selfhost bundle create --sign-key KEY` signed",
    ),
    "trust.unsigned": Text(
        "the bundle is not signed",
        "{count} trusted keys in {places}: from then on only signed bundles are taken",
        "ask for a signed one: `selfhost bundle create --sign-key KEY ...`\n"
        "or take this one and have the reason logged: `--allow-unsigned 'REASON'`",
    ),
    "trust.too_few": Text(
        "too few trusted keys have signed",
        "wanted: {wanted}, found: {found}; signed by: {signers}\ntrusted keys are those in {places}",
        "compare the fingerprint with who made the bundle, over another way than the medium; if it is theirs,\n"
        "put their public key there: `cp KEY.pub {directory}/`",
    ),
    "trust.not_named": Text(
        "none of the named keys has signed",
        "signed by: {signers}; keys named: {places}",
        "compare the fingerprint with who made the bundle, over another way than the medium, and name their public key",
    ),
    "trust.revoked": Text(
        "signed with a revoked key: {signer}",
        "revoked in `{source}`",
        "ask who made the bundle to sign it with another key",
    ),
    "trust.outside_time": Text(
        "the key is not valid now: {signer}",
        "valid: {window}; the clock here says {now}",
        "if the clock is wrong, set it; without `--strict-time` this is a warning",
    ),
    "trust.note_outside_time": Text("the key is not valid now: {signer}; valid: {window}; the clock here says {now}"),
    "trust.note_unsigned": Text("not signed: nobody vouches for what this bundle holds"),
    "trust.note_nobody": Text(
        "signed by {signers}, which nothing here vouches for; to trust it from now on: `cp KEY.pub {directory}/`"
    ),
    "trust.note_allowed": Text("taken without a trusted signature; reason given: {reason}"),
    "trust.no_reason": Text(
        "`--allow-unsigned` needs a reason",
        "it goes into the log",
        "for example `--allow-unsigned 'test bundle of 2026-11-21, made by hand'`",
    ),
    "trust.bad_settings": Text(
        "the trust settings are wrong: `{path}`",
        "{detail}",
        "correct the file; nothing is taken until it can be read",
    ),
    "trust.open_to_all": Text(
        "anybody can write to `{path}`",
        "mode: {mode}; who can write there decides who is trusted",
        "take that away: `chmod o-w {path}`",
    ),
    "trust.odd_file": Text(
        "cannot tell what this is about trust: `{path}`",
        "wanted: keys as `NAME.pub`, settings as `{settings}`; anything else would be passed over without a word",
        "give it such a name, or put it elsewhere",
    ),
    "trust.unreadable": Text(
        "cannot tell who is trusted: `{path}`",
        "{detail}",
        "let this user read it: `ls -ld {path}`",
    ),
    "trust.secret": Text(
        "`{path}` must not leave on a medium",
        "{kind}",
        "take it out of the model's folder; if the secret was real and others could read it, end it and make a new one",
    ),
    "trust.rollback": Text(
        "older than what was taken before: `{subject}`",
        "serial of this bundle: {serial}, lowest that is taken: {lowest}",
        "get the newest bundle; if going back is wanted: `--allow-rollback`",
    ),
    "trust.bad_serials": Text(
        "the record of serials is damaged: `{path}`",
        "without it an older bundle could pass for a new one",
        "put a backup in its place, or accept that and remove it: `rm {path}`",
    ),
    "trust.malformed_model_signature": Text(
        "`model.sig` cannot be read",
        "{detail}",
        "get it again from who signed the model; what is read here is OpenSSF Model Signing 1.0 with a key",
    ),
    "trust.bad_model_signature": Text(
        "`model.sig` was changed after signing",
        "",
        "do not use this model; get it again from who signed it",
    ),
    "trust.model_differs": Text(
        "`model.sig` of {name} is of other files: {count} differ",
        "{names}",
        "do not use this bundle before somebody has looked: ask who signed the model",
    ),
    "trust.unknown_model_signer": Text(
        "no trusted key has signed the model",
        "sha256 of the signer's key in PEM: {hint}; ECDSA keys to compare with: {count}",
        "name the signer's public key: `--key KEY.pub`",
    ),
}
