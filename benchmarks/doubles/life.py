"""Seconds of a mock's start and end, and of a compute's life inside one; printed as JSON for rows_doubles.py.

python life.py ROUNDS FIXTURE ENVIRONMENTS
"""

import json
import sys
import time

import ellipsis_local

ROUNDS, FIXTURE, ENVIRONMENTS = int(sys.argv[1]), sys.argv[2], sys.argv[3]
LAYER = {"pathId": "559bf6e4-ef58-478a-a305-b0fa9db68ba7", "timestampId": "b51d252d-b15a-4b63-9675-9e17ef99ebf5"}
INTERPRETER = f"python3.{sys.version_info[1]}"


def highest(params):
    raster = params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]
    return float(raster["raster"].max())


def fixture():
    """What a test pays for a home of its own, used once."""
    with ellipsis_local.mock(environments=ENVIRONMENTS) as ellipsis:
        ellipsis.account.logIn("ann", "ann")


def life(ellipsis, token):
    compute = ellipsis.compute.createCompute([LAYER], token, nodes=2, interpreter=INTERPRETER)["id"]
    values = ellipsis.compute.execute(compute, highest, token)
    ellipsis.compute.terminateCompute(compute, token)
    assert max(values) > 0


def timed(call, *arguments):
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


times = {"fixture": [], "inline": [], "nodes": []}
for number in range(-2, ROUNDS):
    found = {"fixture": timed(fixture)}
    for name, inline in {"inline": True, "nodes": False}.items():
        with ellipsis_local.mock(environments=ENVIRONMENTS, inline=inline) as ellipsis:
            ellipsis_local.layers.add(FIXTURE, **LAYER)
            found[name] = timed(life, ellipsis, ellipsis.account.logIn("ann", "ann"))
    if number >= 0:
        for name, seconds in found.items():
            times[name].append(seconds)
print(json.dumps(times))
