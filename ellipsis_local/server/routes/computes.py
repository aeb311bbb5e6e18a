"""`/compute`: POSTs answer within a second, builds and executions go on behind them."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from ellipsis_local import faults
from ellipsis_local.clocks import monotonic
from ellipsis_local.computes.parse_arguments import MOST_ENTRIES, compute_request, write_target
from ellipsis_local.computes.results import result_path
from ellipsis_local.environments import DEFAULT_INTERPRETER, MOST_CHARACTERS
from ellipsis_local.nodes import Sent
from ellipsis_local.server.auth import Asker, Caller
from ellipsis_local.server.file_responses import Download
from ellipsis_local.server.openapi import FILE
from ellipsis_local.server.request_models import Body, FileId, Id, IdText, JsonObject, PageStart, Text
from ellipsis_local.server.wire import WireRoute

router = APIRouter(route_class=WireRoute, tags=["compute"])

ComputeId = Annotated[Id, Path(alias="computeId")]

AT_WORK = ("queued", "starting", "executing", "stopping")
START_SECONDS, SECONDS = 0.6, 0.25
"""So long after its arrival a POST waits for what it began."""
LOOK_SECONDS = 0.005
PATIENCE_SECONDS = 15
"""So long a GET may wait on purpose (`faults.polled`): the client gives up after 20 s (seen in the client)."""


def wait_briefly(asker: Caller, compute_id: str, until: float) -> None:
    """Let what is done in a moment be done before the answer: after a first look the client sleeps (seen in it)."""
    records = asker.emulator.computes.records
    while records.statuses((compute_id,)).get(compute_id) in AT_WORK and monotonic() < until:
        time.sleep(LOOK_SECONDS)


class Layer(Body):
    """One timestamp of a raster or vector."""

    pathId: IdText  # noqa: N815 - the wire's name
    timestampId: IdText  # noqa: N815


class NewCompute(Body):
    """The arguments of createCompute; `requirements` is one text, a requirement per line (seen in the client)."""

    layers: Annotated[list[Layer], Field(max_length=MOST_ENTRIES)]
    files: Annotated[list[IdText], Field(max_length=MOST_ENTRIES)] | None = None
    nodes: int | None = None
    interpreter: Text = str(DEFAULT_INTERPRETER)
    requirements: Annotated[str, Field(max_length=MOST_CHARACTERS)] = ""
    largeResult: bool = False  # noqa: N815
    enableGpu: bool = False  # noqa: N815


class NewExecution(Body):
    """A function: its text as the client writes it, or the base64 dill pickle of older clients."""

    file: Annotated[str, Field(max_length=16 * 1024**2)]
    writeToLayer: JsonObject | None = None  # noqa: N815


@router.post("/compute")
def create(asker: Asker, body: NewCompute) -> dict[str, Any]:
    """Make a compute: an environment, a partition of the layers per node, and the nodes.

    The id comes at once, and GET /compute shows `available` when it can execute (seen in the client). A bad argument is
    refused here, and there is no compute then (our choice).
    """
    until = monotonic() + START_SECONDS
    user = asker.user
    request = compute_request(
        [layer.model_dump() for layer in body.layers],
        body.files,
        body.nodes,
        # The client always sends it: the default cannot be told from the same text.
        DEFAULT_INTERPRETER if body.interpreter == DEFAULT_INTERPRETER else body.interpreter,
        [line.strip() for line in body.requirements.splitlines() if line.strip()],
        body.largeResult,
        body.enableGpu,
    )
    compute_id = asker.emulator.create_compute(request, user, wait=False)
    wait_briefly(asker, compute_id, until)
    return {"id": compute_id}


@router.get("/compute")
def list_computes(asker: Asker, page_start: PageStart = None) -> dict[str, Any]:
    """List the user's computes, the newest first, with status, results and nodes.

    This is where clients look until a compute is `available`, `completed` or `stopped` (seen in the client).
    """
    faults.polled(asker.emulator.home.root, asker.user.id, patience=PATIENCE_SECONDS)
    found, following = asker.answers.page(asker.user.id, page_start)
    if asker.user.grants is not None:
        found = [compute for compute in found if asker.emulator.reaches(compute["id"], asker.user)]
    return {"result": found, "nextPageStart": following}


@router.post("/compute/{computeId}/execute")
def execute(asker: Asker, compute_id: ComputeId, body: NewExecution) -> None:
    """Run a function on every partition of a compute.

    `file` is the function's text as the client writes it, or a base64 dill pickle (seen in clients before 3.3.10). When
    this answers the former results are gone; GET /compute shows `completed` when the new ones are there (seen in the
    client).
    """
    until = monotonic() + SECONDS
    target = write_target(body.writeToLayer)
    asker.emulator.execute_compute(compute_id, Sent(body.file), asker.user, wait=False, target=target)
    wait_briefly(asker, compute_id, until)


@router.post("/compute/{computeId}/terminate")
def terminate(asker: Asker, compute_id: ComputeId) -> None:
    """End a compute, whatever it does; it is `stopped` soon after (seen in the client), and its results stay."""
    until = monotonic() + SECONDS
    asker.emulator.terminate_compute(compute_id, asker.user, wait=False)
    wait_briefly(asker, compute_id, until)


@router.get("/compute/{computeId}/file/{fileId}", responses=FILE)
def result_file(asker: Asker, compute_id: ComputeId, file_id: FileId) -> Download:
    """Download one large result, whole or a range of bytes; its id is the value of a result of type `file`."""
    emulator = asker.emulator
    emulator.check_reach(compute_id, asker.user)
    url = f"/compute/{compute_id}/file/{file_id}"
    path = result_path(emulator.home, emulator.computes.records, url, asker.user.id)
    return Download(path, filename=file_id)
