"""Messages about signatures and provenance."""

from __future__ import annotations

from tritonize.core.messages import Message

NOT_SIGNED = Message(
    code="provenance-not-signed",
    what="The version was not signed, because its files differ from its manifest.",
    next_step="restore the files, or publish the model again with `tritonize run`",
)
KEY_UNUSABLE = Message(
    code="provenance-key-unusable",
    what="The key cannot be used.",
    cause="it is not a key of an elliptic curve (P-256, P-384 or P-521) in PEM format, or its password is not in "
    "TRITONIZE_SIGNING_PASSWORD",
    next_step="create one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem && "
    "openssl ec -in key.pem -pubout -out key.pub",
)
UNSIGNED = Message(
    code="provenance-unsigned",
    what="{model} version {version} has no signature.",
    next_step="sign it: tritonize sign {repository} {model} --version {version} --key KEY.pem",
)
SIGNATURE_WRONG = Message(
    code="provenance-signature-wrong",
    what="The signature of {model} version {version} does not hold.",
    cause="the files were changed after they were signed, or another key signed them",
    next_step="compare the files with the manifest: tritonize verify {repository} -m {model} --version {version}",
)
OTHER_MANIFEST = Message(
    code="provenance-other-manifest",
    what="The version changed while its signature was verified; the signature is of another manifest",
)
NO_EVIDENCE = Message(
    code="provenance-no-evidence", what="Nothing here is signed: there is no evidence that a signature could cover"
)
NOT_COPIED = Message(
    code="provenance-not-copied",
    what="The file is too large for a private copy in the folder for temporary files (TMPDIR), so somebody could replace it after "
    "its verification",
)
CONFIG_UNSIGNED = Message(
    code="provenance-config-unsigned",
    what="No signature covers the configuration in place, which is another one than the version's",
)
SIGNED = Message(code="provenance-signed", what="{model} version {version}: the signature holds for the key {key}.")
