"""A stand-in, from what is known of a layer to what lies in the store."""

from __future__ import annotations

from ellipsis_local.ids import as_uuid
from ellipsis_local.stand_ins.schema import LayerSchema
from ellipsis_local.store import ArrayParcel, LayerStore, TableParcel, Target
from ellipsis_local.types import STAND_IN

SEED = 0
TOLD = "A stand-in, invented by ellipsis_local: no real data."


def add_stand_in(
    store: LayerStore,
    path_id: str,
    timestamp_id: str,
    schema: LayerSchema,
    *,
    name: str | None = None,
    seed: int = SEED,
    exact: bool = False,
) -> bool:
    """Invent a layer under these ids; False where the same stand-in is there, LayerError where a layer is.

    What is drawn depends on seed, ids and schema, and on nothing else. `exact`: the resolution was asked for.
    """
    from ellipsis_local.stand_ins.draws import Draws

    path_id, timestamp_id = as_uuid("pathId", path_id), as_uuid("timestampId", timestamp_id)
    draws = Draws(seed, path_id, timestamp_id)
    parcel: ArrayParcel | TableParcel
    if schema.type == "raster":
        from ellipsis_local.stand_ins.rasters import make_raster

        parcel = ArrayParcel(make_raster(schema, draws, exact=exact), bands=schema.bands)
    else:
        from ellipsis_local.stand_ins.vectors import make_features

        parcel = TableParcel(make_features(schema, draws), schema.crs)
    target = Target(
        path_id, timestamp_id, schema.type, name or f"stand-in {path_id[:8]}", None, TOLD,
        metadata={"description": TOLD, STAND_IN: True}, stand_in=schema.fields(),
    )  # fmt: skip
    return store.put(target, [parcel])
