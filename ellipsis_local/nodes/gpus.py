"""Which GPUs this machine shows."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping

__all__ = ["visible_gpus"]


def visible_gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Ids of the visible GPUs: those of CUDA_VISIBLE_DEVICES where it is set, else what nvidia-smi lists."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        ids = [item.strip() for item in environ["CUDA_VISIBLE_DEVICES"].split(",")]
        # As CUDA reads it: an id that is not valid hides itself and all after it.
        return tuple(ids[: next((i for i, item in enumerate(ids) if not item or item.startswith("-")), len(ids))])
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if program is None:
        return ()
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE))
