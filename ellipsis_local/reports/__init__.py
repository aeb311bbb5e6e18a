"""What an execution made of its nodes: time, memory and results per partition, and what would fit better."""

from __future__ import annotations

from ellipsis_local import arguments
from ellipsis_local.emulator import current_emulator
from ellipsis_local.reports.findings import Finding
from ellipsis_local.reports.summary import Report, report_of
from ellipsis_local.tracebacks import short_traceback

__all__ = ["Finding", "Report", "report", "report_of"]


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
    """
    compute_id = arguments.uuid_text("computeId", computeId)
    token = arguments.optional_token(token)
    emulator = current_emulator()
    owner = None if token is None else emulator.user(token).id
    return report_of(emulator, emulator.computes.records.get(compute_id, owner))
