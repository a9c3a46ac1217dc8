"""What is said of the model repository: staging, publishing, and what is in place."""

from tritonize.core.messages import Message

NO_DIRECTORY = Message(
    code="repository-no-directory",
    what="The model repository is no directory.",
    next_step="name a folder with --repository",
)
NO_DIRECTORY_ABOVE = Message(
    code="repository-below-file",
    what="The model repository would lie inside something that is no directory.",
    next_step="name another folder with --repository",
)
ROOT = Message(
    code="repository-root",
    what="The root of the filesystem cannot be a model repository.",
    next_step="name a folder with --repository",
)
MOUNT_POINT = Message(
    code="repository-mount-point",
    what="The folder beside the repository is on another filesystem, so a version cannot be moved in place in one step.",
    cause="the repository is itself a mount point",
    next_step="name a folder inside the mounted filesystem with --repository",
)
NO_VERSION = Message(code="repository-no-version", what="The model {model!r} has no such version.")
CONFIG_DIFFERS = Message(
    code="repository-config-differs",
    what="The new version's {file} differs from the one in place, which every version of the model shares.",
    cause="the spec changed, or the file was edited by hand",
    next_step="add --replace-config to put the new one in place, or choose another model name",
)
CONFIG_WILL_DIFFER = Message(
    code="repository-config-will-differ",
    what="The {file} in place differs from this one in {count} lines, so `tritonize run` needs --replace-config to publish it.",
)
VERSION_EXISTS = Message(
    code="repository-version-exists",
    what="Version {version} of {model!r} exists by now; it is never overwritten.",
    cause="another run published it meanwhile",
    next_step="run again; it takes the next number",
)
MODEL_IS_LINK = Message(
    code="repository-model-is-link",
    what="The model's directory in the repository is a symbolic link, so no version can be put into it in one step.",
    next_step="name the repository that it leads into with --repository",
)
MODEL_IS_FILE = Message(
    code="repository-model-is-file",
    what="In the repository, something that is no directory has the model's name.",
    next_step="move it away, or choose another model name",
)
NOT_PUBLISHED = Message(
    code="repository-not-published",
    what="The system refuses a step of publishing, so the repository is as it was.",
)
NUMBER_NAMED = Message(
    code="repository-number-named",
    what="The configuration names the versions to serve (version_policy), and not the number that the new version gets.",
    cause="another run took the number meanwhile",
    next_step="name the next number in the spec's triton: version_policy, and run again",
)
RENUMBERED = Message(
    code="repository-renumbered",
    what="The version was proven as number {proved_as} and published as {version}, since another run took the number meanwhile.",
)
INTERRUPTED = Message(code="interrupted", what="Interrupted. Nothing runs any more, and nothing was published.")
INTERRUPTED_PUBLISHED = Message(
    code="interrupted-published",
    what="Interrupted. Nothing runs any more. {count} of {wanted} models were published before: {published}.",
)
NO_EVIDENCE = Message(
    code="version-no-evidence",
    what="The version carries no evidence, so there is nothing to verify it against.",
    cause="it was not published by tritonize",
    next_step="publish it with `tritonize run`",
)
MANIFEST_DAMAGED = Message(code="manifest-damaged", what="The version's manifest is damaged.")
MANIFEST_OTHER = Message(
    code="manifest-other-kind",
    what="The version's manifest is of another kind.",
    cause="another version of tritonize wrote it",
)
SUMS = Message(
    code="sums-find-damage",
    what="The sums in a manifest find damage, not forgery: who can write the files can write the sums. Sign for that.",
)
UNCOVERED = Message(
    code="manifest-uncovered",
    what="The manifest is of an older tritonize and has no sum of its own, so a change of it alone is not found.",
)
NOT_SERVED = Message(
    code="changed-not-served",
    what="Nothing was served, since files are not as they were proven; --serve-anyway serves them all the same.",
)
SERVED_ANYWAY = Message(code="changed-served-anyway", what="What is served was changed after it was proven (--serve-anyway).")
SERVED_IN_PLACE = Message(
    code="served-in-place",
    what="{count} files of {gib:.1f} GiB were served where they lie, not from a private copy, and were hashed again afterwards.",
)
OTHER_CONFIG = Message(
    code="version-other-config",
    what="A newer version has replaced the configuration that version {version} was proven with; it was judged by its own.",
)
SERVED_WITH_OTHER_CONFIG = Message(
    code="version-served-with-other-config",
    what="The configuration in place serves version {version} too (version_policy), which was not proven with it.",
)
LISTED_OTHERWISE = Message(
    code="manifest-path-not-plain",
    what="the manifest lists a path that is not in its plain form",
)
SERVED_UNPROVEN = Message(
    code="version-served-unproven",
    what="the configuration in place serves it too (version_policy), and it carries no evidence",
)
CHECKED = Message(code="serve-checked", what="{model} version {version}: {count} files are as they were proven.")
UNCHECKED = Message(code="serve-unchecked", what="{model} version {version} carries no evidence, so nothing was checked.")
