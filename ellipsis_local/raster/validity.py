"""Which pixels of a raster are there: the one rule, for files and for the layers that they make.

A pixel of a file is missing where its value is the file's nodata value, where a mask of the file says so, and where it
is not a number; any of them is enough. In a file without nodata value and mask its alpha band says it, as GDAL has it:
the fourth of four bands is often called alpha, and is none. Nodata and NaN count per band, masks and alpha for all.

A layer of several files tells what is missing by one nodata value where its files agree on it; where they do not, or
some have masks, floats by NaN, which is no value in any file, and integers by a mask: each may be a valid one.
(Our choice throughout; the service does not say.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ellipsis_local.errors import LayerError
from ellipsis_local.types import RasterFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MaskKind = Literal["none", "dataset", "band"]


@dataclass(frozen=True)
class Masks:
    """What of a file says which pixels are there, besides their values."""

    kind: MaskKind = "none"
    """A mask for all bands, one for each, or none."""
    alpha: int | None = None
    """The index of the alpha band, from 0."""

    @property
    def name(self) -> Literal["none", "mask", "alpha"]:
        """As the record of a file has it."""
        return "mask" if self.kind != "none" else "none" if self.alpha is None else "alpha"


def masks_of(dataset: Any) -> Masks:
    from rasterio.enums import ColorInterp, MaskFlags

    colors = list(dataset.colorinterp)
    alpha = colors.index(ColorInterp.alpha) if ColorInterp.alpha in colors else None
    flags = [set(one) for one in dataset.mask_flag_enums]
    kind: MaskKind = "none"
    if any(MaskFlags.per_dataset in one and MaskFlags.alpha not in one for one in flags):
        kind = "dataset"
    elif any(not one for one in flags):
        kind = "band"
    return Masks(kind, alpha)


def mask_kind(file: RasterFile) -> str:
    """'none', 'mask' or 'alpha'; of a record of version 0.1.0, which does not tell, by a look into the file."""
    if file.mask != "unknown":
        return "none" if file.mask == "alpha" and file.nodata is not None else file.mask
    from ellipsis_local.gdal_errors import reading
    from ellipsis_local.raster.opening import opened

    try:
        with reading(file.location), opened(file.location) as dataset:
            return mask_kind(replace(file, mask=masks_of(dataset).name))
    except LayerError:
        # Whoever reads its pixels says what is wrong with it.
        return "none"


def has_masks(files: Sequence[RasterFile]) -> bool:
    """Whether a mask or an alpha band of some file says which pixels are there."""
    return any(mask_kind(file) != "none" for file in files)


def disagreements(files: Sequence[RasterFile]) -> tuple[str, ...]:
    """What the files of a layer say differently, so that the layer cannot say it, in words."""
    texts = []
    if files[0].dtype.startswith(("int", "uint")) and not all(is_same(one.nodata, files[0].nodata) for one in files):
        told = ", ".join(f"{value} in {count}" for value, count in Counter(file.nodata for file in files).items())
        texts.append(f"its files have different nodata values ({told}); a mask tells which pixels are there")
    for name in ("scales", "offsets", "units"):
        values = Counter(getattr(file, name) for file in files)
        if len(values) > 1:
            told = ", ".join(f"{value or 'none'} in {count}" for value, count in values.items())
            texts.append(f"its files have different {name} ({told}); values are given as they are, and no {name}")
    return tuple(texts)


def is_same(one: float | None, other: float | None) -> bool:
    """Whether two nodata values are one; NaN is itself here."""
    return one == other or (one is not None and other is not None and math.isnan(one) and math.isnan(other))


def differs(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Which values are neither nodata nor NaN; None where all are values, whatever they are."""
    import numpy as np

    there: NDArray[np.bool_] | None = None
    if values.dtype.kind in "fc":
        there = ~np.isnan(values)
    if nodata is not None and not math.isnan(nodata):
        # Compared in the dtype of the pixels: a float32 of -3.4e38 is no such double, and 2**63 no float at all.
        different = values != np.asarray(nodata).astype(values.dtype)
        there = different if there is None else there & different
    return there


@dataclass(frozen=True)
class Missing:
    """How a layer tells which of its pixels are missing."""

    nodata: float | int | None
    """What pixels are that no file has a value for, where the layer has such a value."""
    mask: bool
    """Whether a mask is needed to tell all of them."""
    per_band: bool
    """Whether bands may be missing one by one in that mask."""


def missing_in(files: Sequence[RasterFile], masked: bool, covered: bool) -> Missing:
    """How a layer of these files tells missing pixels, on the grid that holds them all.

    `masked`: some file has a mask or an alpha band; `covered`: files lie under all of the grid.
    """
    first = files[0].nodata
    floats = any(file.dtype.startswith(("float", "complex")) for file in files)
    if all(is_same(file.nodata, first) for file in files) and not (floats and masked and len(files) > 1):
        return Missing(first, masked or (first is None and not covered), per_band=False)
    if floats:
        return Missing(math.nan, masked, per_band=False)
    return Missing(None, True, per_band=files[0].bands > 1)
