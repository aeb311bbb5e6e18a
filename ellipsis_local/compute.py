"""`ellipsis.compute`: create computes, execute functions on their nodes, collect the results, terminate.

Arguments, their order and the answers are those of the documentation and of client 3.3.12; where both name an argument
differently, both names work. Every error is a ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any, BinaryIO

from ellipsis_local import arguments, faults
from ellipsis_local.api_functions import attach
from ellipsis_local.arguments import invalid
from ellipsis_local.computes.compute_json import describe
from ellipsis_local.computes.parse_arguments import compute_request, write_target
from ellipsis_local.computes.results import copy_result, result_path
from ellipsis_local.computes.validate_outputs import add_results
from ellipsis_local.emulator import current_emulator
from ellipsis_local.environments import DEFAULT_INTERPRETER
from ellipsis_local.errors import ArgumentError
from ellipsis_local.sharing import EDIT

__all__ = [
    "addLayer",
    "addToLayer",
    "createCompute",
    "downloadFile",
    "execute",
    "getComputeInfo",
    "listComputes",
    "terminateAll",
    "terminateCompute",
]


def createCompute(
    layers: Iterable[Mapping[str, str]],
    token: str,
    files: Iterable[str] | None = None,
    nodes: int | None = None,
    interpreter: str = DEFAULT_INTERPRETER,
    requirements: Iterable[str] = (),
    awaitTillStarted: bool = True,
    largeResult: bool = False,
    enableGpu: bool = False,
) -> dict[str, str]:
    """Make an environment, cut the layers into one partition per node, and start the nodes.

    Parameters
    ----------
    layers : list of dict
        ``{'pathId': …, 'timestampId': …}`` of each raster or vector timestamp that the function will receive.
    token : str
        Of the user who owns the compute.
    files : list of str, optional
        Path ids of files that every node receives whole, as ``BytesIO`` (seen in the client).
    nodes : int, optional
        The number of partitions; the plan's `maxComputeNodes` where None (seen in the client), here the setting
        `max_nodes`, which with `strict='service'` has to be given for that.
    interpreter : str
        ``python3.9`` to ``python3.14``. Where the default is not on this machine and was not asked for, the running
        one is used.
    requirements : list of str
        PEP 508 requirements; their pins win over what the nodes themselves need.
    awaitTillStarted : bool
        False returns at once; `getComputeInfo` then shows the progress.
    largeResult : bool
        Whether functions return a memory file (BytesIO, bytes, rasterio's MemoryFile) instead of a small object.
    enableGpu : bool
        Hand the visible GPUs to the nodes in turn; without it nodes see none.

    Returns
    -------
    dict
        ``{'id': computeId}``.

    Raises
    ------
    ArgumentError, NotFoundError, LayerError, PartitionError, InterpreterError
        For an argument that cannot be carried out, before anything has started.
    FidelityError
        With the setting `strict`, for requirements that are longer than the service's column.
    EnvironmentBuildError, EngineError
        Where starting fails; the compute is then `errored`, with the same message.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> el.compute.getComputeInfo(compute, token)['status']
    'available'
    >>> el.compute.terminateCompute(compute, token)
    """
    owner_token = arguments.token(token)
    request = compute_request(layers, files, nodes, interpreter, requirements, largeResult, enableGpu)
    wait = arguments.boolean("awaitTillStarted", awaitTillStarted)
    emulator = current_emulator()
    return {"id": emulator.create_compute(request, emulator.user(owner_token), wait=wait)}


def execute(
    computeId: str,
    f: Callable[[dict[str, Any]], Any],
    token: str,
    awaitTillCompleted: bool = True,
    writeToLayer: dict[str, Any] | None = None,
) -> list[Any] | None:
    """Run a function once per node, on the node's partition.

    Parameters
    ----------
    computeId : str
        As `createCompute` returned it; the compute must be available or completed.
    f : function
        Takes one dictionary: per timestamp id a raster ``{'raster': ndarray (bands, height, width), 'transform':
        Affine, 'extent': {'xMin', 'xMax', 'yMin', 'yMax'}, 'crs', 'nodata'}`` or a vector's GeoDataFrame (which also
        answers ``['vector']``), per file's path id a BytesIO. Our choice: a raster also has what its files say of
        their pixels, 'mask' (booleans (height, width), or (bands, height, width) where bands differ; True is valid),
        'scales', 'offsets' and 'units' (one per band). It is sent as source: it has to import and define all that it
        uses.
    token : str
        Of the compute's owner.
    awaitTillCompleted : bool
        False returns None at once; `getComputeInfo` then shows progress and results (the client fails here).
    writeToLayer : dict, optional
        ``{'pathId': …, 'timestampId': …, 'file': {'format': 'tif' | 'gpkg'}}``: each node returns a memory file,
        which is added to that layer; `file` is tif where absent (seen in the client).

    Returns
    -------
    list
        One entry per partition, in their order: the value, with its type; with `largeResult` the url of the node's
        file, for `downloadFile` and `addLayer`; with `writeToLayer` the id of the added file.

    Raises
    ------
    NodeError
        Where a node failed, with its number and traceback; `getComputeInfo` shows the other nodes' results.
    ArgumentError, FidelityError, ComputeStateError
        Before anything has started; FidelityError also after it, with the setting `strict`, for a small result that a
        client over HTTP would not get (our choice). ComputeStateError also where the compute is terminated meanwhile,
        or errored (a fault of `ellipsis_local.testing`), with its message.

    Warns
    -----
    FidelityWarning
        Where the service would not run the function, or not return what it returns.
    PixelWarning
        Where unsigned bands are subtracted without a cast.
    OutputWarning
        With `writeToLayer`: as for `addLayer`.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> def highest(params):
    ...     return float(params['b51d252d-b15a-4b63-9675-9e17ef99ebf5']['raster'].max())
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> el.compute.execute(compute, highest, token)
    [72.1875, 80.03125]
    >>> el.compute.terminateCompute(compute, token)
    """
    compute_id = arguments.uuid_text("computeId", computeId)
    owner_token = arguments.token(token)
    wait = True if awaitTillCompleted is None else arguments.boolean("awaitTillCompleted", awaitTillCompleted)
    target = write_target(writeToLayer)
    emulator = current_emulator()
    return emulator.execute_compute(compute_id, f, emulator.user(owner_token), wait=wait, target=target)


def _waits(client: Any, documented: Any) -> bool:
    """The await argument in the client's spelling and in the documentation's; True where neither is given."""
    if documented is not None:
        return arguments.boolean("awaitTillCompleted", documented)
    return arguments.boolean("awaitTillTerminated", client)


def terminateCompute(
    computeId: str, token: str, awaitTillTerminated: bool = True, *, awaitTillCompleted: bool | None = None
) -> None:
    """Terminate a compute, in whatever state it is; a running execution ends at once.

    Results that were returned, and files behind urls, stay (our choice). Terminating twice is no error.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> el.compute.terminateCompute(compute, token)
    >>> el.compute.getComputeInfo(compute, token)['status']
    'stopped'
    """
    compute_id = arguments.uuid_text("computeId", computeId)
    owner_token = arguments.token(token)
    wait = _waits(awaitTillTerminated, awaitTillCompleted)
    emulator = current_emulator()
    emulator.terminate_compute(compute_id, emulator.user(owner_token), wait=wait)


def terminateAll(token: str, awaitTillTerminated: bool = True, *, awaitTillCompleted: bool | None = None) -> None:
    """Terminate all of the user's computes that are not over.

    Those stopped, stopping or errored are passed over (seen in the client).

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> el.compute.terminateAll(token)
    >>> [one['status'] for one in el.compute.listComputes(token)['result']]
    ['stopped']
    """
    owner_token = arguments.token(token)
    wait = _waits(awaitTillTerminated, awaitTillCompleted)
    emulator = current_emulator()
    user = emulator.user(owner_token)
    start: str | None = None
    while True:
        records, start = emulator.computes.records.page(user.id, start)
        for record in records:
            if record.status not in ("stopped", "errored", "stopping") and emulator.reaches(record.id, user):
                emulator.terminate_compute(record.id, user, wait=wait)
        if start is None:
            return


def getComputeInfo(computeId: str, token: str) -> dict[str, Any]:
    """Status and metadata of one compute.

    Returns
    -------
    dict
        `id`, `status` (queued, starting, available, executing, completed, errored, stopping, stopped), `message` (its
        first 512 characters: the service's column holds no more), the arguments of createCompute, and `nodes`: per node
        a dict with `node`, `state` (queued, ready, waiting for a core, executing, completed, failed, stopped),
        `extent`, `startedAt`, `seconds`, `resultSize` and `peakMemory` (of the node's process while it ran; None where
        it is not known) in bytes, and `machine` (of a Dask cluster the one that ran it, else None). After an execution
        also `result`: per node ``{'type', 'value'}``, where type is
        `object`, `file` (value: file id), `upload` or `exception` (value: text).

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> [round(node['extent']['xMin']) for node in el.compute.getComputeInfo(compute, token)['nodes']]
    [661861, 664594]
    """
    compute_id = arguments.uuid_text("computeId", computeId)
    emulator = current_emulator()
    owner = emulator.user(arguments.token(token)).id
    faults.polled(emulator.home.root, owner, compute_id)
    record = emulator.computes.records.get(compute_id, owner)
    return describe(record, emulator.computes.records.nodes(compute_id), emulator.settings.strict)


def listComputes(token: str, pageStart: str | None = None, listAll: bool = True) -> dict[str, Any]:
    """The user's computes, newest first, as `getComputeInfo` shows them.

    Parameters
    ----------
    token : str
    pageStart : str, optional
        The id of the compute to start with; the newest where None.
    listAll : bool
        False returns one page of 50.

    Returns
    -------
    dict
        ``{'result': [...], 'nextPageStart': id or None}``.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> [one['status'] for one in el.compute.listComputes(token)['result']]
    ['available']
    """
    owner_token = arguments.token(token)
    start = arguments.optional_uuid("pageStart", pageStart)
    everything = arguments.boolean("listAll", listAll)
    emulator = current_emulator()
    records = emulator.computes.records
    owner = emulator.user(owner_token).id
    faults.polled(emulator.home.root, owner)
    result: list[dict[str, Any]] = []
    while True:
        page, start = records.page(owner, start)
        result += [describe(record, records.nodes(record.id), emulator.settings.strict) for record in page]
        if start is None or not everything:
            return {"result": result, "nextPageStart": start}


def addLayer(response: Iterable[str], pathId: str, timestampId: str, token: str) -> None:
    """Add the files of an execution with `largeResult` to a layer, and activate its timestamp.

    All files are added, or none: each must be of the layer's type (a GeoTIFF for a raster layer, a GeoPackage for a
    vector layer; the client knows rasters only).

    Parameters
    ----------
    response : list of str
        What `execute` returned.
    pathId, timestampId : str
        The layer, and one of its timestamps.
    token : str

    Raises
    ------
    ArgumentError
        Where an entry is no url of a result.
    LayerError
        Where a file does not fit the layer, or cannot be read; with the setting `strict` also where the files do not
        make one layer. Nothing was added then.

    Warns
    -----
    OutputWarning
        Where the nodes' files do not make one layer: several CRSs, grids, nodata values or columns, rasters that leave
        a hole in their partition or reach beyond it.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2, largeResult=True)['id']
    >>> def same(params):
    ...     from rasterio.io import MemoryFile
    ...     r, file = params['b51d252d-b15a-4b63-9675-9e17ef99ebf5'], MemoryFile()
    ...     bands, height, width = r['raster'].shape
    ...     shape = {'count': bands, 'height': height, 'width': width, 'dtype': r['raster'].dtype}
    ...     with file.open(driver='GTiff', crs=r['crs'], transform=r['transform'], **shape) as target:
    ...         target.write(r['raster'])
    ...     return file
    >>> urls = el.compute.execute(compute, same, token)
    >>> layer = el.path.raster.add('same', token)['id']
    >>> when = el.path.raster.timestamp.add(layer, token)['id']
    >>> el.compute.addLayer(urls, layer, when, token)
    >>> len(el.path.raster.timestamp.file.get(layer, when, token)['result'])
    2
    """
    path_id, timestamp_id = arguments.uuid_text("pathId", pathId), arguments.uuid_text("timestampId", timestampId)
    owner_token = arguments.token(token)
    emulator = current_emulator()
    user = emulator.user(owner_token)
    urls = arguments.string_list("response", response)
    if not urls:
        raise invalid("response", urls, "holds no results; give the list that execute returned")
    files = [result_path(emulator.home, emulator.computes.records, url, user.id) for url in urls]
    timestamp = emulator.drive(user).timestamp(path_id, timestamp_id, needed=EDIT)
    strict = bool(emulator.settings.strict)
    add_results(
        emulator.store, emulator.computes.records, files, path_id, timestamp, strict=strict, report=emulator.report
    )


addToLayer = addLayer  # noqa: N816 - the client's spelling
"""The client's name for `addLayer`."""


def downloadFile(
    url: str, token: str, filePath: str | PathLike[str] | None = None, memfile: BinaryIO | None = None
) -> BinaryIO | None:
    """Write one node's large result to a file, or into a memory file, which is returned (seen in the client).

    Parameters
    ----------
    url : str
        An entry of what `execute` returned.
    token : str
    filePath : str, optional
        Written whole or not at all; an existing file is replaced.
    memfile : file object, optional
        Written from its position on.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2, largeResult=True)['id']
    >>> def text(params):
    ...     import io
    ...     return io.BytesIO(b'a text')
    >>> urls = el.compute.execute(compute, text, token)
    >>> el.compute.downloadFile(urls[0], token, 'first.txt')
    >>> Path('first.txt').read_text()
    'a text'
    """
    owner_token = arguments.token(token)
    target = arguments.path_text("filePath", filePath)
    if memfile is None and target is None:
        raise ArgumentError("Either memfile or filePath is required", argument="filePath", value=None)
    emulator = current_emulator()
    source = result_path(
        emulator.home, emulator.computes.records, arguments.string("url", url), emulator.user(owner_token).id
    )
    copy_result(source, target, memfile)
    return memfile


attach("compute")
