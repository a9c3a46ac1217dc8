"""`tritonize sign` and `tritonize provenance`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tritonize.cli.terminal import say
from tritonize.core.local_paths import local

RequireSignature = Annotated[
    Path | None,
    typer.Option(
        "--require-signature",
        parser=local,
        metavar="KEY",
        help="A public key (PEM); each version needs a signature that holds for it.",
    ),
]


class Form(StrEnum):
    """What `tritonize provenance` prints."""

    SLSA = "slsa"
    CYCLONEDX = "cyclonedx"


def sign(
    names: Annotated[
        list[str], typer.Argument(metavar="[REPOSITORY] MODEL", help="The model; its repository is model_repository by default.")
    ],
    key: Annotated[Path, typer.Option(parser=local, metavar="FILE", help="A private key of an elliptic curve, in PEM format.")],
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
) -> None:
    """Sign a published version with a key; `verify` and `serve` take --require-signature.

    The signature lies beside the repository, in <repository>.signatures, and is in the format of OpenSSF's model-signing. The
    password of a key is read from TRITONIZE_SIGNING_PASSWORD.
    """
    from tritonize import repository
    from tritonize.cli.flags import repository_and
    from tritonize.provenance import signatures

    root, (model,) = repository_and(names, 1, "MODEL")
    number = repository.choose(root, model, version)
    path = signatures.sign(root, model, number, key=key)
    say(f"Signed {model} version {number}: {path}")


def provenance(
    names: Annotated[
        list[str], typer.Argument(metavar="[REPOSITORY] MODEL", help="The model; its repository is model_repository by default.")
    ],
    version: Annotated[int | None, typer.Option(metavar="N", help="The version; default: the newest.")] = None,
    form: Annotated[
        Form, typer.Option("--format", help="slsa: an in-toto statement; cyclonedx: a bill of materials (ML-BOM).")
    ] = Form.SLSA,
) -> None:
    """Print where a version comes from, as JSON in a standard form.

    Both forms say what the version's manifest says: source and files with SHA-256, spec, packages with versions.
    """
    from tritonize import repository
    from tritonize.cli.flags import repository_and
    from tritonize.provenance import bom, statement

    root, (model,) = repository_and(names, 1, "MODEL")
    number = repository.choose(root, model, version)
    manifest = repository.read_manifest(root / model / str(number))
    say(statement.slsa(manifest) if form is Form.SLSA else bom.cyclonedx(manifest))
