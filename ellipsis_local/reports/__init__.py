"""What an execution made of its nodes: time, memory and results per partition, what would fit, what was printed."""

from __future__ import annotations

from collections.abc import Iterable

from ellipsis_local import arguments
from ellipsis_local.computes.records import Record
from ellipsis_local.emulator import Emulator, current_emulator
from ellipsis_local.errors import ArgumentError
from ellipsis_local.log_lines import LogLine, LogLines, chosen, read_lines
from ellipsis_local.notebooks import in_notebook
from ellipsis_local.reports.findings import Finding
from ellipsis_local.reports.live import show_live
from ellipsis_local.reports.summary import Report, report_of
from ellipsis_local.tracebacks import short_traceback

__all__ = ["Finding", "LogLine", "LogLines", "Report", "logs", "report", "report_of", "show"]


@short_traceback
def report(computeId: str, token: str | None = None) -> Report:  # noqa: N803 - as the client's functions name it
    """How the nodes of a compute did in its last execution, and what number of nodes and `largeResult` would fit.

    Our own function: the service tells none of it. It runs nothing and changes nothing, and may be asked for at any
    time; what is not known yet is left out.

    Parameters
    ----------
    computeId : str
        As `createCompute` returned it.
    token : str, optional
        Then the compute has to be that user's; without it any of this home.

    Returns
    -------
    Report
        `str(report)` is a table for a terminal, `report.to_dict()` plain data, `report.save('report.html')` one page
        with a map of the partitions; notebooks show that at once.

    Raises
    ------
    ArgumentError, NotFoundError
        An id that is none, or of no compute here (or not of this user).

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> def pixels(params):
    ...     return params['b51d252d-b15a-4b63-9675-9e17ef99ebf5']['raster'].size
    >>> counts = el.compute.execute(compute, pixels, token)
    >>> el.report(compute).to_dict()['total']['completed']
    2
    """
    return report_of(*_found(computeId, token))


@short_traceback
def show(computeId: str, *, token: str | None = None) -> None:  # noqa: N803 - as the client's functions name it
    """Show the report of a compute: in a notebook live, else printed once, as it is now.

    Our own function. In a notebook it returns at once; the cell shows what the nodes do until the execution is over, or
    the compute is. One that has not executed yet is waited for.

    Parameters
    ----------
    computeId : str
        As `createCompute` returned it.
    token : str, optional
        Then the compute has to be that user's; without it any of this home.

    Raises
    ------
    ArgumentError, NotFoundError
        An id that is none, or a compute that is not here (or not of this user).

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> def pixels(params):
    ...     return params['b51d252d-b15a-4b63-9675-9e17ef99ebf5']['raster'].size
    >>> counts = el.compute.execute(compute, pixels, token)
    >>> el.show(compute)
    938626ca-d419-4685-a2a5-357fe9cf9476  completed, execution 1
    ...
    """
    emulator, record = _found(computeId, token)
    if in_notebook():
        show_live(lambda: report_of(emulator, emulator.computes.records.get(record.id)))
    else:
        print(report_of(emulator, record))  # noqa: T201 - asked for


@short_traceback
def logs(
    computeId: str,  # noqa: N803 - as the client's functions name it
    node: int | None = None,
    follow: bool = False,
    *,
    token: str | None = None,
) -> Iterable[LogLine]:
    """What the nodes printed and logged in the last execution, in the order of time.

    Our own function: the service shows no prints.

    Parameters
    ----------
    computeId : str
        As `createCompute` returned it.
    node : int, optional
        Only this one (the number of a shard, where nodes have several); they count from 0.
    follow : bool
        Give the lines as they come, until the execution is over, such as one with `awaitTillCompleted=False`.
    token : str, optional
        Then the compute has to be that user's; without it any of this home.

    Returns
    -------
    LogLines, or with `follow` an iterator
        Of `LogLine`: `time`, `execution`, `node`, `text`. `print` shows all, and so does a notebook.

    Raises
    ------
    ArgumentError, NotFoundError
        An id or a node that is none, or a compute that is not here (or not of this user).

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> def pixels(params):
    ...     print('a node')
    ...     return params['b51d252d-b15a-4b63-9675-9e17ef99ebf5']['raster'].size
    >>> counts = el.compute.execute(compute, pixels, token)
    >>> [(line.node, line.text) for line in el.logs(compute)]
    [(0, 'a node'), (1, 'a node')]
    """
    follow = arguments.boolean("follow", follow)
    node = arguments.integer("node", node)
    emulator, record = _found(computeId, token)
    records = emulator.computes.records
    count, unit, last = records.partitions(record), record.spec.unit, record.executions
    if node is not None and not 0 <= node < count:
        text = f"compute {record.id} has the {unit}s 0 to {count - 1}, and no {unit} {node}"
        raise ArgumentError(text, argument="node", value=node)

    def over() -> bool:
        now = records.get(record.id)
        return not follow or now.status != "executing" or now.executions != last

    lines = chosen(read_lines(emulator.home.compute(record.id) / "log.jsonl", over), last, node)
    found = (LogLine.of(line, unit) for line in lines)
    return found if follow else LogLines(found)


def _found(compute_id: str, token: str | None) -> tuple[Emulator, Record]:
    """The compute and where it is; of this user alone, with a token."""
    compute_id = arguments.uuid_text("computeId", compute_id)
    token = arguments.optional_token(token)
    emulator = current_emulator()
    return emulator, emulator.computes.records.get(compute_id, None if token is None else emulator.user(token).id)
