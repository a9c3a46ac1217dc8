"""Messages about the model repository: staging, publishing and published versions.

Longer than 300 lines: a list of the texts of one capability, a few lines each.
"""

from tritonize.core.messages import Message

NO_DIRECTORY = Message(
    code="repository-no-directory",
    what="The model repository is not a directory.",
    next_step="name a folder with --repository",
)
NO_DIRECTORY_ABOVE = Message(
    code="repository-below-file",
    what="The model repository cannot be created, since a parent of its path is not a directory.",
    next_step="name another folder with --repository",
)
ROOT = Message(
    code="repository-root",
    what="The root of the filesystem cannot be a model repository.",
    next_step="name a folder with --repository",
)
MOUNT_POINT = Message(
    code="repository-mount-point",
    what="The repository's parent folder is on another filesystem, so a version cannot be moved into place in one step.",
    cause="the repository is a mount point",
    next_step="name a folder inside the mounted filesystem with --repository",
)
NO_MODELS = Message(
    code="repository-no-models",
    what="The model repository has no models.",
    next_step="check the path; to publish a model into it: tritonize run MODEL --repository {repository}",
)
NOT_A_REPOSITORY = Message(
    code="repository-other-folder",
    what="The folder is no model repository.",
    cause="it holds other files, such as a Python package or a single model",
    next_step="name the folder that holds the models' folders; `tritonize run` publishes into model_repository by default",
)
NO_MODEL = Message(code="repository-no-model", what="The repository has no such model.", next_step="tritonize list {repository}")
CONFIG_UNREADABLE = Message(
    code="repository-config-unreadable",
    what="The model's configuration cannot be read.",
    next_step="restore the file, or publish the model again with `tritonize run`",
)
NO_VERSION = Message(
    code="repository-no-version",
    what="The model {model!r} has no such version.",
    next_step="tritonize list {repository}",
)
CONFIG_DIFFERS = Message(
    code="repository-config-differs",
    what="The new version's {file} differs from the published one, which all versions of the model share.",
    cause="the spec or the flags differ from those of the published version, or the file was edited by hand",
    next_step="add --replace-config to replace the published one, or choose another model name",
)
SHARED_FILE_DIFFERS = Message(
    code="repository-shared-file-differs",
    what="The new version's {file} differs from the published one, which the configurations of older versions name.",
    cause="the file was changed under its old name",
    next_step="give the new file another name, here and in the configuration, so that older versions keep theirs",
)
OTHER_BYTES = Message(code="other-bytes", what="{published:,} bytes are published, {new:,} other bytes are new")
CONFIG_WILL_DIFFER = Message(
    code="repository-config-will-differ",
    what="The published {file} differs from this one, so `tritonize run` needs --replace-config to publish it: {fields}.",
)
CONFIG_REPLACED = Message(code="repository-config-replaced", what="The published {file} was replaced: {fields}.")
CONFIG_DROPS = Message(
    code="repository-config-drops",
    what="The new {file} would drop fields of the published one, which no version was proven with.",
    cause="the file was written by hand; versions that tritonize did not publish may need these fields",
    next_step="put the fields into the spec's `triton:` section, or add --drop-config-fields",
)
VERSION_EXISTS = Message(
    code="repository-version-exists",
    what="Version {version} of {model!r} already exists, and tritonize never overwrites a version.",
    cause="another run published it in the meantime",
    next_step="run the command again; it takes the next version number",
)
MODEL_IS_LINK = Message(
    code="repository-model-is-link",
    what="The model's directory in the repository is a symbolic link, so a version cannot be moved into it in one step.",
    next_step="name the repository that the link points into with --repository",
)
MODEL_IS_FILE = Message(
    code="repository-model-is-file",
    what="In the repository, a file has the name of the model's directory.",
    next_step="move the file away, or choose another model name",
)
NOT_PUBLISHED = Message(
    code="repository-not-published",
    what="The operating system refused a step of publishing. The repository is unchanged.",
    next_step="correct the cause, then run the same command again",
)
NOT_CHANGED = Message(
    code="repository-not-changed",
    what="The operating system refused a step of the change. The model is unchanged.",
    next_step="correct the cause, then run the same command again",
)
RESTORE = Message(
    code="restore-files",
    what="restore the files from a copy, or publish a new version: `tritonize run SPEC --repository {repository}`",
)
OR_ROLL_BACK = Message(code="or-roll-back", what="until then, `tritonize rollback {repository} {model}` serves the version before")
PIN_CHANGED = Message(
    code="version-changed-not-served",
    what="Version {version} of {model!r} changed after it was proven, so tritonize does not make the repository serve it.",
    next_step="list all differences: tritonize verify {repository} -m {model} --version {version}",
)
PIN_WITHOUT_CONFIG = Message(
    code="version-config-lost",
    what="The configuration that version {version} of {model!r} was proven with is unknown.",
    cause="an older tritonize published the version without a copy of the configuration",
    next_step="publish the model again with `tritonize run`",
)
PIN_UNPROVEN = Message(
    code="version-unproven",
    what="Version {version} of {model!r} is unproven: a required check could not run when it was published.",
    next_step="add --allow-unproven to serve it nevertheless",
)
POLICY_DIFFERS = Message(
    code="version-policy-differs",
    what="The configuration of version {version} with the version policy of the repository is not what was asked for.",
    cause="the configuration has a form that tritonize does not change",
    next_step="write the version policy into config.pbtxt by hand",
)
CONFIG_BY_HAND = Message(
    code="repository-config-by-hand",
    what="The model's config.pbtxt is not one that tritonize wrote, and this would replace it.",
    cause="the file was edited by hand",
    next_step="add --replace-config to replace it nevertheless",
)
SERVED_UNKNOWN = Message(
    code="served-versions-unknown",
    what="A configuration cannot be read, so it is unknown which versions of the model are served. Nothing of it was changed.",
    next_step="repair the file, or publish or promote a version of the model; or name other models",
)
NO_EARLIER = Message(
    code="version-no-earlier",
    what="No earlier version of {model!r} can be served: none below version {version} is fully proven and complete.",
    next_step="name a version with --to; to list all versions: tritonize list {repository}",
)
ROLLBACK_PASSED_OVER = Message(
    code="rollback-passed-over",
    what="Version {version} was passed over: {why}. To serve it: tritonize rollback {repository} {model} --to {version}",
)
STILL_SERVED = Message(code="still-served", what="version {pinned} is still the one served")
NOTHING_SERVED = Message(
    code="version-nothing-served",
    what="The version policy of {model!r} serves no version, so there is nothing to roll back from.",
    next_step="name the version to serve with --to",
)
NO_SAMPLES = Message(
    code="version-no-samples",
    what="No output was compared, since the version keeps no samples, only their checksums; its files were checked.",
)
EVIDENCE_SOME = Message(
    code="evidence-some-samples",
    what="The evidence keeps {count} of {total} samples with outputs: {mib:.1f} of at most {limit} MiB (evidence.golden_mib).",
)
EVIDENCE_SYNTHETIC = Message(
    code="evidence-synthetic",
    what="The evidence keeps {count} samples that tritonize generated, and none of your own (evidence.samples: synthetic).",
)
EVIDENCE_DIGESTS = Message(
    code="evidence-digests",
    what="The evidence keeps checksums of the samples alone, since {why}. `tritonize verify` can check the files of this "
    "version, and cannot compare a server's outputs.",
)
EVIDENCE_REAL = Message(
    code="evidence-real-samples",
    what="The evidence has copies of {count} of your own samples with the model's outputs, and report.html may have pictures of "
    "them. If they are confidential, such as patients' images, set `evidence: {{samples: synthetic}}` in the spec.",
)
EVIDENCE_OUTSIDE = Message(
    code="evidence-outside",
    what="The evidence lies beside the repository, in {where}. Verification needs it there.",
)
EVIDENCE_NONE = Message(
    code="evidence-none",
    what="No evidence is kept (evidence.place: none). Nothing can tell later whether this version's files changed or what it was "
    "proven with; it cannot be verified, compared, exported as a golden file, promoted or called up to date.",
)
PACK_EXISTS = Message(
    code="pack-exists",
    what="The folder for the deployment already exists and is not overwritten.",
    next_step="name a new folder, or delete the old one",
)
PACK_INSIDE = Message(
    code="pack-inside",
    what="The folder for the deployment lies inside the repository, where Triton would take it for a model.",
    next_step="name a folder outside of the repository",
)
PACK_CHANGED = Message(
    code="pack-changed",
    what="A file changed after it was proven, so nothing was packed.",
    next_step="run `tritonize verify` on the repository, which lists all differences",
)
PACK_UNREADABLE = Message(
    code="pack-unreadable",
    what="A file in {model} cannot be copied, so nothing was packed.",
    next_step="replace it by a regular file, or name other models with --model",
)
PACK_NOTHING = Message(
    code="pack-nothing",
    what="The version policy of {model!r} serves no version.",
    next_step="promote a version: tritonize promote {repository} {model} VERSION",
)
PACK_COMPLETED = Message(
    code="pack-completed",
    what="{model} has no config.pbtxt: Triton completes it from the model file, unless it is started with auto-complete off.",
)
PACK_UNCHECKED = Message(
    code="pack-unchecked",
    what="{model} version {version} has no evidence, so its files were copied without a check.",
)
UP_TO_DATE = Message(
    code="version-up-to-date",
    what="Version {version} was made on {created} from the same source, Python files, samples, spec and library versions, and its "
    "files are unchanged, so nothing was run. To run nevertheless, add --force.",
)
PINNED = Message(
    code="version-pinned",
    what="The repository serves version {pinned} alone (promote, rollback), so version {version} is published and not served. To "
    "serve it: tritonize promote {repository} {model} {version}",
)
NOT_SERVED_BY_POLICY = Message(
    code="version-not-served-by-policy",
    what="The version_policy of the configuration does not name version {version}: it was proven and published, and no server "
    "loads it until the policy does.",
)
NUMBER_NAMED = Message(
    code="repository-number-named",
    what="The version_policy of the configuration does not include the number of the new version.",
    cause="another run took the expected number in the meantime",
    next_step="add the next number to triton: version_policy in the spec, and run again",
)
RENUMBERED = Message(
    code="repository-renumbered",
    what="The version was proven as number {proved_as} and published as {version}, since another run took the number in the "
    "meantime.",
)
INTERRUPTED = Message(
    code="interrupted",
    what="Interrupted. All processes are stopped, and nothing was published.",
    next_step="run the same command again",
)
INTERRUPTED_WAITING = Message(
    code="interrupted-waiting",
    what="Interrupted.",
    next_step="run the same command again",
)
INTERRUPTED_PUBLISHED = Message(
    code="interrupted-published",
    what="Interrupted. All processes are stopped. {count} of {total} models were published before: {published}.",
    next_step="run the same command again; models that are published and unchanged are not built again",
)
INTERRUPTED_CHANGED = Message(
    code="interrupted-changed",
    what="Interrupted, after the change: the repository serves version {served} of {model!r}.",
    next_step="run the same command again to see whether it has anything left to do",
)
INTERRUPTED_PRUNING = Message(
    code="interrupted-pruning",
    what="Interrupted. Versions were removed before: {removed}. No other model was changed.",
    next_step="run the same command again to remove the others",
)
NO_EVIDENCE = Message(
    code="version-no-evidence",
    what="The version has no evidence to verify it against.",
    cause="it was not published by tritonize, its spec keeps no evidence, or the evidence beside the repository was not copied",
    next_step="publish it with `tritonize run`, or prove an ONNX model as it is: tritonize adopt {repository} {model}",
)
MANIFEST_DAMAGED = Message(
    code="manifest-damaged",
    what="The version's manifest is damaged.",
    next_step="restore the version's files, or publish the model again: tritonize run SPEC --force",
)
MANIFEST_OTHER = Message(
    code="manifest-other-kind",
    what="The version's manifest has an unknown format.",
    cause="another version of tritonize wrote it",
    next_step="use the version of tritonize that wrote it, or publish the model again: tritonize run SPEC --force",
)
SUMS = Message(
    code="sums-find-damage",
    what="The checksums in a manifest detect damage, not forgery: whoever can write the files can also write the checksums. To "
    "detect forgery, sign the files.",
)
UNCOVERED = Message(
    code="manifest-uncovered",
    what="An older tritonize wrote the manifest without its own checksum, so a change to the manifest alone is not detected.",
)
NOT_SERVED = Message(
    code="changed-not-served",
    what="Nothing was served, since files changed after publication; to serve them nevertheless, add --serve-anyway.",
)
SERVED_ANYWAY = Message(code="changed-served-anyway", what="The served files changed after publication (--serve-anyway).")
CONFIG_INVALID = Message(code="config-published-invalid", what="the published one is not a valid configuration: {found}")
NOT_UTF8 = Message(code="not-utf8", what="the published file is not UTF-8: {found}")
SERVED_IN_PLACE = Message(
    code="served-in-place",
    what="{count} files of {gib:.1f} GiB were served from the repository, not from a private copy, and hashed again afterwards.",
)
OTHER_CONFIG = Message(
    code="version-other-config",
    what="The configuration that version {version} was proven with was replaced, by a newer version or by promote or rollback; "
    "tritonize used the original one.",
)
SERVED_WITH_OTHER_CONFIG = Message(
    code="version-served-with-other-config",
    what="The current configuration also serves version {version} (version_policy), which was not proven with it.",
)
LISTED_OTHERWISE = Message(
    code="manifest-path-not-plain",
    what="the manifest lists a path that is not normalized",
)
SERVED_UNPROVEN = Message(
    code="version-served-unproven",
    what="the current configuration also serves this version (version_policy), and it has no evidence",
)
CHECKED = Message(code="serve-checked", what="{model} version {version}: {count} files are unchanged since publication.")
UNCHECKED = Message(code="serve-unchecked", what="{model} version {version} has no evidence, so nothing was checked.")
GOLDEN_VERSION_CHANGED = Message(
    code="golden-version-changed",
    what="The version changed after it was proven, so its golden set is not exported.",
    next_step="list all differences: tritonize verify {repository} -m {model} --version {version}",
)
SOURCE_CHANGED = Message(
    code="source-changed",
    what="The source changed during the run, so the version may not match it.",
    cause="another program, such as a training, writes the file",
    next_step="run again when the file does not change any more",
)
