"""Messages about model repositories in object stores."""

from __future__ import annotations

from tritonize.core.messages import Message

SCHEME = Message(
    code="remote-scheme",
    what="The scheme of the address is unknown.",
    next_step="write an address such as s3://bucket/models, gs://bucket/models or az://account/container",
)
NO_FOLDER = Message(
    code="remote-no-folder",
    what="The address names no folder inside a bucket, and a model repository cannot be a whole bucket.",
    cause="`tritonize push` keeps its claims beside the repository, in <repository>.push",
    next_step="add a folder, such as {written}",
)
CREDENTIALS_IN_ADDRESS = Message(
    code="remote-credentials-in-address",
    what="The address contains a user, a password or a query, which would end up in logs and in the shell's history.",
    next_step="remove it; credentials are read from the environment and from the store's own files, such as ~/.aws/credentials",
)
NO_PLACE = Message(
    code="remote-no-place",
    what="The bucket or object does not exist.",
    cause="the name is misspelled, or the endpoint or region is another one",
    next_step="correct the address, or create the bucket",
)
EMPTY = Message(
    code="remote-empty",
    what="There is no such model repository: no object is below the address.",
    next_step="correct the address, or publish a model with `tritonize push REPOSITORY ADDRESS`",
)
DENIED = Message(
    code="remote-denied",
    what="The store does not permit this request with the credentials in use.",
    cause="the credentials are wrong or expired, or they may only read",
    next_step="check the credentials in the environment or in ~/.aws, and the permissions on the bucket",
)
NO_CREDENTIALS = Message(
    code="remote-no-credentials",
    what="No credentials for the store were found.",
    next_step="set them as the store's own tools do: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials",
)
UNREACHABLE = Message(
    code="remote-unreachable",
    what="The store cannot be reached.",
    next_step="check the endpoint (AWS_ENDPOINT_URL, or s3://http://host:port/bucket/folder) and the network",
)
REFUSED = Message(
    code="remote-refused",
    what="The store refused the request.",
    next_step="check the credentials and the address with the store's own client",
)
NAME_NOT_PLAIN = Message(
    code="remote-name-not-plain",
    what="An object's name has empty parts, `.` or `..`, so it cannot be copied into a folder.",
    next_step="rename or remove the object",
)
FILE_AND_FOLDER = Message(
    code="remote-file-and-folder",
    what="An object has the name of a folder of other objects, so the repository cannot be copied.",
    next_step="rename or remove the object",
)
OTHER_VERSION = Message(
    code="remote-other-version",
    what="The store has another version {version} of {model!r}, and tritonize never overwrites a version.",
    cause="somebody else published it, from another repository",
    next_step="publish the model again on top of the store's versions: tritonize run SPEC --repository ADDRESS",
)
INCOMPLETE = Message(
    code="remote-incomplete",
    what="After the upload an object is missing or has another size. The new version is not served.",
    cause="something else writes to the repository",
    next_step="run the command again",
)
CLAIM_LOST = Message(
    code="remote-claim-lost",
    what="The claim on {model!r} was not renewed in time, so another push may have taken over. Nothing else is served than before.",
    cause="the process was stopped, or the connection was interrupted",
    next_step="run the command again",
)
CLOCK = Message(
    code="remote-clock",
    what="The store gives the configuration no newer timestamp than the version's files, so a polling Triton may overlook it.",
    cause="the clocks of the store's machines differ",
    next_step="run the command again; the version is complete",
)
WAITING = Message(
    code="remote-waiting",
    what="waiting for another push of {model!r}; after {seconds:.0f} s without a sign of life this one takes over",
)
UNDOING = Message(code="remote-undoing", what="removing version {version} of {model!r}, which a push did not finish")
COMPLETING = Message(code="remote-completing", what="completing version {version} of {model!r}, which a push did not finish")
UPLOADING = Message(code="remote-uploading", what="{model} version {version}: uploading {count} files, {mib:.1f} MiB")
NOTHING_SERVED = Message(
    code="push-nothing-served",
    what="The version policy of {model!r} serves no version, so there is nothing to publish.",
    next_step="choose a version: tritonize promote {repository} {model} VERSION",
)
NO_CONFIG = Message(
    code="push-no-config",
    what="{model!r} has no config.pbtxt, and a store needs one: it says which versions are complete while others are uploaded.",
    next_step="write the one that Triton makes: tritonize config {directory} --write",
)
NOT_PROVEN = Message(
    code="push-unproven",
    what="Version {version} of {model!r} has no evidence that it passed, so it is not published.",
    next_step="publish it with `tritonize run`; for one that could not be proven on this machine, add --allow-unproven",
)
CHANGED = Message(
    code="push-changed",
    what="Version {version} of {model!r} changed after it was proven, so it is not published.",
    next_step="list all differences: tritonize verify {repository} -m {model} --version {version}",
)
CONFIG_DIFFERS = Message(
    code="push-config-differs",
    what="The {file} in the store differs from the one to publish in more than its version policy.",
    cause="another version's configuration is in place, or somebody edited it",
    next_step="add --replace-config to replace it",
)
NO_ADDRESS = Message(
    code="push-no-address",
    what="The second argument of `tritonize push` is not an address.",
    next_step="name one with a scheme, such as s3://bucket/models or file:///srv/models",
)
VERIFIED_COPY = Message(code="remote-verified-copy", what="A copy of {address} was verified, and removed afterwards.")
PUSHED = Message(code="remote-pushed", what="Published to {address}.")
NOT_PUSHED = Message(code="remote-not-pushed", what="Not published to {address}: {error}")
KEPT = Message(
    code="remote-kept",
    what="The version passed and lies in {folder}. To publish it from there: tritonize push {folder} {address} {model}",
)
NOT_FOR_ADDRESS = Message(
    code="remote-option-needs-files",
    what="{option} cannot be combined with an address: it needs files that were not copied, or changes files.",
    next_step="remove the option, or copy the repository to this machine",
)
