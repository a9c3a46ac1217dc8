"""Messages about proving a version on a running server."""

from __future__ import annotations

from tritonize.core.messages import Message

LOADING = Message(code="target-loading", what="load {model} ({size} MiB) as {name}")
BY_REQUEST = Message(code="target-by-request", what="its files were sent with the load request over {transport}")
BY_FOLDER = Message(code="target-by-folder", what="its files were copied into the server's repository")
LOADED = Message(code="target-loaded", what="loaded as {name} on Triton {version} at {address}; {how}")
PROVEN_ON = Message(
    code="target-proven-on",
    what="The version was loaded into Triton {version} at {address} as {name}, compared there and unloaded; {how}. "
    "The embedded server did not run.",
)
OTHER_RELEASE = Message(
    code="target-other-release",
    what="The spec declares Triton {release} as its target; compare it with the version of this server, {version}.",
)
NOT_EXPLICIT = Message(
    code="target-not-explicit",
    what="The server does not load models on request.",
    cause="it does not run in explicit model control mode",
    next_step="start it with --model-control-mode=explicit; or publish here, deploy, and verify the server: tritonize verify --url http://HOST:8000",
)
RESTRICTED = Message(
    code="target-control-restricted",
    what="The server restricts the loading of models.",
    cause="it runs with --http-restricted-api or --grpc-restricted-protocol for model-repository",
    next_step="pass the header that it expects, such as --header NAME=@env:VARIABLE (over gRPC: triton-grpc-protocol-NAME)",
)
REQUEST_REFUSED_FOR_SIZE = Message(
    code="target-files-too-large",
    what="The server does not take a request with the files of {model} ({size} MiB).",
    cause="Triton's --http-max-input-size (64 MiB by default in new releases), a proxy before it, or gRPC's limit of 2 GiB",
    next_step="add the gRPC address with a second --server, raise the limit, or share a folder: --server-repository FOLDER",
)
NOT_IN_REPOSITORY = Message(
    code="target-not-in-repository",
    what="The server did not load the files that came with the request.",
    cause="its Triton is older than 2.20, which introduced them; or it rejects the configuration, as its log says",
    next_step="read the server's log; or share a folder with it: --server-repository FOLDER",
)
OTHER_FOLDER = Message(
    code="target-other-folder",
    what="The server does not find the version in its model repository.",
    cause="the folder is not the one that the server reads, or the server's user cannot read it; or it rejects the configuration",
    next_step="pass the folder of the server's --model-repository, as this machine sees it; read the server's log",
)
NO_SHARED_FOLDER = Message(
    code="target-no-shared-folder",
    what="The folder of --server-repository does not exist.",
    next_step="pass the folder of the server's --model-repository, as this machine sees it",
)
NAME_TAKEN = Message(
    code="target-name-taken",
    what="The server says that {name} is ready, a name that was chosen at random just now.",
    cause="a proxy or another service answers in Triton's place",
    next_step="pass the address of the Triton itself",
)
NOT_READY = Message(
    code="target-not-ready",
    what="The server accepted {model} and does not report it as ready at this address.",
    cause="the addresses lead to several servers: to replicas behind one name, or to different servers for HTTP and gRPC",
    next_step="pass the addresses of one Triton",
)
STILL_LOADED = Message(
    code="target-still-loaded",
    what="The server may still have these models loaded, which were loaded for the proof: {names}.",
    cause="it did not answer the request to unload them",
    next_step="curl -X POST http://HOST:8000/v2/repository/models/{name}/unload",
)
CHANGED = Message(
    code="target-files-changed",
    what="A file of the version changed after the server got it.",
    cause="another program wrote into the staging area",
    next_step="run the command again, while no other program writes into the staging area",
)
