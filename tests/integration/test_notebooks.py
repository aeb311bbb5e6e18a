"""What a notebook shows: the real IPython, as a kernel has it, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

IN_A_KERNEL = """
import contextlib, io, json, sys, traceback
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

class ZMQInteractiveShell(InteractiveShell):  # by this name rich knows a notebook
    kernel = "any"

shell = ZMQInteractiveShell.instance(display_pub_class=CapturingDisplayPublisher, colors="nocolor")
told = []
for cell in json.load(sys.stdin):
    shell.display_pub.outputs.clear()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        done = shell.run_cell(cell, store_history=True)
    error, frames = done.error_in_exec, []
    if error is not None:
        frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    lines = [one["data"] for one in shell.display_pub.outputs]
    told.append({"error": str(error), "notes": getattr(error, "__notes__", []), "frames": frames, "lines": lines,
                 "printed": printed.getvalue()})
json.dump([told, shell.user_ns["shown"], shell.display_formatter.format(shell.user_ns["logs"])[0]], sys.stderr)
"""

CELLS = """
import os, sys
import ellipsis_local as el, numpy as np
from affine import Affine
from ellipsis_local import progress
progress.PATIENCE_SECONDS = 0
el.configure(home=os.environ["HOME_FOLDER"], inline=True)
token = el.account.logIn("demo_user", "demo_user")
raster = {"raster": np.ones((1, 9, 9), "uint8"), "transform": Affine(1, 0, 0, 0, -1, 9), "crs": "EPSG:3857"}
python = f"python3.{sys.version_info[1]}"
compute = el.compute.createCompute([el.layers.add(raster)], token, nodes=3, interpreter=python)["id"]
# %%
def f(params):
    import time
    from IPython import get_ipython
    while not any("executing" in one["data"]["text/plain"] for one in get_ipython().display_pub.outputs):
        time.sleep(0.01)
    print("hello")
    return 1 / 0
# %%
el.compute.execute(compute, f, token)
# %%
from ellipsis_local.node_program.ellipsis_node.patch_functions import swap
def client(source): ...
swap(client, el.layers.add)
open("broken.tif", "w").close()
client("broken.tif")
# %%
shown, logs = str(el.report(compute)), el.logs(compute, node=1)
"""


def test_what_a_notebook_shows(tmp_path):
    pytest.importorskip("IPython")
    cells = [cell.strip() for cell in CELLS.split("# %%")]
    environ = os.environ | {"HOME_FOLDER": str(tmp_path / "home"), "IPYTHONDIR": str(tmp_path)}
    environ = {name: value for name, value in environ.items() if not name.startswith(("ELLIPSIS_LOCAL_", "PYTEST_"))}
    command = [sys.executable, "-c", IN_A_KERNEL]
    done = subprocess.run(command, env=environ, cwd=tmp_path, input=json.dumps(cells), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (_, defined, executed, client, _), shown, logs = json.loads(done.stderr.splitlines()[-1])

    assert (defined["error"], defined["lines"]) == ("None", [])
    # The cell and the line, one frame of ours, and equal failures as one.
    assert (
        "failed: Traceback (most recent call last):\n  Cell In[2], line 7, in f\n    return 1 / 0" in executed["error"]
    )
    ours = [Path(file).name for file in executed["frames"] if Path(file).parent.name == "ellipsis_local"]
    assert ours == ["tracebacks.py"]
    assert executed["notes"][1:] == ["nodes 0 to 2 failed the same way"]
    # What is shown ends at the cell's own line, also of a function of the client that a mock replaced.
    for cell, line in ((executed, "----> 1 el.compute.execute"), (client, '----> 5 client("broken.tif")')):
        *_, place, error = re.split(r"\n\n(?=Cell|\w+Error)", cell["printed"])
        assert line in place and "ellipsis_local/" not in cell["printed"], cell["printed"]
        assert error.startswith(("NodeError: node 0", "LayerError: ")), cell["printed"]
    # A bar that is there while somebody waits, and that takes no room afterwards.
    first, *bars, last = executed["lines"]
    (shown_bar, *_) = [bar for bar in bars if bar["text/plain"].startswith("ellipsis_local: executing · 0:")]
    assert shown_bar["text/html"].startswith("<progress></progress> <small>executing · 0:")
    assert first == {"text/plain": ""} and last == {"text/plain": "", "text/html": ""}
    # Of a report the table is in its text.
    assert "failed (exception)" in shown
    assert logs["text/plain"].endswith("node 1 │ hello")


def prints(params):
    import time

    (grid,) = params.values()
    print("begun")
    time.sleep(0.3)
    print("west" if grid["extent"]["xMin"] < 100 else "east")


def test_lines_come_until_the_execution_is_over(el, token):
    layer = {"raster": np.ones((1, 10, 20), "uint8"), "transform": Affine(10, 0, 0, 0, -10, 100), "crs": "EPSG:3857"}
    compute = el.compute.createCompute(layers=[el.layers.add(layer)], token=token, nodes=2)["id"]
    assert list(el.logs(compute, follow=True)) == []
    assert str(el.logs(compute)) == "nothing was printed or logged"

    for number in (1, 2):
        el.compute.execute(compute, prints, token, awaitTillCompleted=False)
        lines = list(el.logs(compute, follow=True, token=token))
        assert {(one.execution, one.node) for one in lines if one.text == "begun"} == {(number, 0), (number, 1)}
        assert {one.node: one.text for one in lines if one.text != "begun"} == {0: "west", 1: "east"}
        assert el.compute.getComputeInfo(compute, token)["status"] == "completed"
    assert el.logs(compute) == tuple(lines)
    assert [one.text for one in el.logs(compute, node=1)] == ["begun", "east"]
    with pytest.raises(el.EllipsisLocalError, match="has the nodes 0 to 1, and no node 2"):
        el.logs(compute, 2)
