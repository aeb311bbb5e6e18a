"""A folder of layers taken into the store, under the same ids on every machine.

With a `catalog.toml`, names and ids are those it gives:

    [[layer]]
    name = "scene"
    type = "raster"                     # raster, vector or file
    pathId = "<uuid>"                   # optional, made from the name
    description = "…"                   # optional
    [[layer.timestamp]]                 # for rasters and vectors
    id = "<uuid>"                       # optional, made from the name and its place in the list
    description = "summer 2023"         # optional
    date = { from = 2023-07-01T10:30:00Z, to = 2023-07-01T10:30:00Z }    # optional
    files = ["scene_2023.tif"]          # several are a mosaic; relative to the folder
    epsg = 28992                        # optional: epsg, nodata, layer as in `LayerStore.add`
    [[layer]]
    name = "thresholds"
    type = "file"
    files = ["thresholds.json"]

Without one, every layer file below the folder becomes a layer of its own, named by its relative path, from which its
ids are made (UUIDv5). The sources of a VRT and the parts of a raster or shapefile are no layers of their own.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from ellipsis_local import ids, vector
from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError, EllipsisLocalError, LayerError, LayerWarning
from ellipsis_local.gdal_errors import reading
from ellipsis_local.notices import warn
from ellipsis_local.progress import OnProgress, Reporter
from ellipsis_local.store import formats
from ellipsis_local.store.staging import FileParcel, NewFile, Overrides, Target

if TYPE_CHECKING:
    from ellipsis_local.store.store import LayerStore

CATALOG = "catalog.toml"
LAYER_KEYS = {"name", "type", "pathId", "description", "timestamp", "files"}
TIMESTAMP_KEYS = {"id", "description", "date", "files", "epsg", "nodata", "layer"}


class Loaded(TypedDict, total=False):
    """What `load` says of one layer."""

    pathId: str
    type: str
    timestampId: str
    """The last timestamp; not there for a file."""
    timestamps: list[str]
    """The ids of all timestamps, where there are several."""


@dataclass(frozen=True)
class Context:
    store: LayerStore
    root: Path
    replace: bool
    owner: str | None
    reporter: Reporter
    names: Collection[str] | None
    """Of a catalog the layers that are wanted; all where None."""

    def count(self, done: int, total: int) -> None:
        self.reporter.count("adding layers", done, total, "layers")


def fixtures_folder() -> Path:
    """The shipped layers: `_fixtures` of an installed package, the folder `fixtures` beside it in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "_fixtures", package.parent / "fixtures"):
        if (folder / CATALOG).is_file():
            return folder
    raise LayerError(f"the fixture layers are missing from {package}; install ellipsis-local again")


def load(
    store: LayerStore,
    folder: Any,
    replace: bool,
    owner: str | None,
    progress: OnProgress,
    names: Collection[str] | None,
) -> dict[str, Loaded]:
    """Take a folder in, name → ids; LayerWarning, without a catalog, for files that look like layers and are none."""
    folder = fixtures_folder() if folder is None else folder
    if not isinstance(folder, str | os.PathLike):
        raise invalid("folder", folder, "must be of type string")
    root = Path(os.path.abspath(Path(os.fspath(folder)).expanduser()))  # noqa: PTH100 - symbolic links stay
    if not root.is_dir():
        raise ArgumentError(f"{root} is no folder", argument="folder", value=str(folder))
    context = Context(store, root, replace, owner, Reporter(progress), names)
    if (root / CATALOG).is_file():
        return dict(from_catalog(context))
    if names is not None:
        raise invalid("names", names, f"needs a {CATALOG}, and {root} has none; leave it out to load all layers there")
    return from_folder(context)


def wrong(path: Path, text: str) -> ArgumentError:
    return ArgumentError(f"{path}: {text}", argument="folder", value=str(path.parent))


def from_catalog(context: Context) -> Iterator[tuple[str, Loaded]]:
    path = context.root / CATALOG
    try:
        with reading(path):
            text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise wrong(path, f"is no TOML: {error}") from error
    layers = table.get("layer")
    if not isinstance(layers, list) or not layers or set(table) != {"layer"}:
        raise wrong(path, "must be a list of [[layer]] tables and nothing else")
    plans = [checked_layer(path, layer) for layer in layers]
    names = [plan["name"] for plan in plans]
    if len(set(names)) != len(names):
        raise wrong(path, f"names occur twice: {', '.join(sorted({name for name in names if names.count(name) > 1}))}")
    wanted = set(names if context.names is None else context.names)
    if unknown := ", ".join(sorted(wanted - set(names))):
        raise invalid("names", sorted(wanted), f"must be of {', '.join(names)}, not {unknown}")
    for number, plan in enumerate(chosen := [plan for plan in plans if plan["name"] in wanted]):
        context.count(number, len(chosen))
        yield plan["name"], (plain_layer if plan["type"] == "file" else dated_layer)(context, plan)


def checked_layer(path: Path, layer: Any) -> dict[str, Any]:
    """A [[layer]] table with its ids and metadata filled in."""
    if not isinstance(layer, dict) or not isinstance(layer.get("name"), str):
        raise wrong(path, "every [[layer]] must have a name")
    name = layer["name"]
    kind = layer.get("type")
    if kind not in ("raster", "vector", "file"):
        raise wrong(path, f"layer {name!r}: type must be one of raster, vector, file, not {kind!r}")
    if unknown := ", ".join(sorted(set(layer) - LAYER_KEYS)):
        raise wrong(path, f"layer {name!r}: unknown {unknown}; known are {', '.join(sorted(LAYER_KEYS))}")
    path_id = ids.as_uuid(f"{path}: layer {name!r}: pathId", layer.get("pathId", ids.made_id("catalog", name)))
    metadata = {"description": layer["description"]} if "description" in layer else {}
    checked = layer | {"pathId": path_id, "metadata": metadata}
    if kind == "file":
        files = checked_files(path, name, layer.get("files"))
        if len(files) != 1 or "timestamp" in layer:
            raise wrong(path, f"layer {name!r}: a layer of type file has one file and no timestamps")
        return checked
    timestamps = layer.get("timestamp", [{"files": layer.get("files")}])
    if not isinstance(timestamps, list) or not timestamps or ("files" in layer and "timestamp" in layer):
        raise wrong(path, f"layer {name!r}: files belong into its [[layer.timestamp]] tables")
    return checked | {"timestamp": [checked_timestamp(path, name, *one) for one in enumerate(timestamps)]}


def checked_timestamp(path: Path, name: str, number: int, timestamp: Any) -> dict[str, Any]:
    where = f"layer {name!r}, timestamp {number + 1}"
    if not isinstance(timestamp, dict) or set(timestamp) - TIMESTAMP_KEYS:
        raise wrong(path, f"{where}: known keys are {', '.join(sorted(TIMESTAMP_KEYS))}")
    made = ids.made_id("catalog", name, str(number))
    timestamp_id = ids.as_uuid(f"{path}: {where}: id", timestamp.get("id", made))
    return timestamp | {"id": timestamp_id, "files": checked_files(path, name, timestamp.get("files"))}


def checked_files(path: Path, name: str, files: Any) -> list[str]:
    if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
        raise wrong(path, f"layer {name!r}: files must be a list of one or more file names")
    return files


def plain_layer(context: Context, plan: dict[str, Any]) -> Loaded:
    context.store.add_plain_file(
        context.root / plan["files"][0],
        name=plan["name"],
        path_id=plan["pathId"],
        metadata=plan["metadata"],
        owner=context.owner,
        replace=context.replace,
    )
    return {"pathId": plan["pathId"], "type": "file"}


def dated_layer(context: Context, plan: dict[str, Any]) -> Loaded:
    for timestamp in plan["timestamp"]:
        said = {name: timestamp.get(name) for name in ("epsg", "nodata", "layer")}
        files = [NewFile(context.root / file, **said) for file in timestamp["files"]]
        target = Target(
            plan["pathId"], timestamp["id"], plan["type"], plan["name"], timestamp.get("date"),
            timestamp.get("description"), context.owner, plan["metadata"],
        )  # fmt: skip
        with context.store.intake.parcels(files, plan["type"]) as parcels:
            context.store.put(target, parcels, replace=context.replace)
    return answer(plan["pathId"], plan["type"], [timestamp["id"] for timestamp in plan["timestamp"]])


def answer(path_id: str, kind: str, timestamps: list[str]) -> Loaded:
    loaded: Loaded = {"pathId": path_id, "type": kind, "timestampId": timestamps[-1]}
    if len(timestamps) > 1:
        loaded["timestamps"] = timestamps
    return loaded


def from_folder(context: Context) -> dict[str, Loaded]:
    loaded: dict[str, Loaded] = {}
    failed: list[str] = []
    with reading(context.root):
        candidates = sorted(one for one in context.root.rglob("*") if is_candidate(context.root, one))
    taken: set[Path] = set()
    # VRTs first: their sources are theirs.
    for number, path in enumerate(sorted(candidates, key=lambda one: one.suffix.lower() != ".vrt")):
        context.count(number, len(candidates))
        if path in taken:
            continue
        try:
            for name, entry, parts in layers_in(context, path):
                loaded[name] = entry
                taken |= set(parts)
        except EllipsisLocalError as error:
            # A layer that is fine, and differs from what is in the store: the caller must decide.
            if not isinstance(error, LayerError | ArgumentError) or "replace=True" in str(error):
                raise
            failed.append(str(error))
    reasons = "".join(f"\n  {reason}" for reason in failed)
    if not loaded:
        why = f":{reasons}" if failed else f". Supported are {formats.supported()}"
        raise LayerError(f"nothing in {context.root} is a layer{why}", source=str(context.root))
    if failed:
        warn(f"{len(failed)} files in {context.root} are no usable layers:{reasons}", LayerWarning)
    return dict(sorted(loaded.items()))


def is_candidate(root: Path, path: Path) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)
    if hidden or path.suffix.lower() not in formats.layer_suffixes() or not path.is_file():
        return False
    # JSON is a layer only where it is GeoJSON, and any other JSON is nothing to warn of.
    return path.suffix.lower() != ".json" or vector.is_geojson(path)


def layers_in(context: Context, path: Path) -> Iterator[tuple[str, Loaded, tuple[Path, ...]]]:
    """Add what is in one file: one layer, or each of several under `file:layer`."""
    relative = path.relative_to(context.root).as_posix()
    names: tuple[str | None, ...] = (None,)
    found = formats.detect(path)
    if found.format == "gpkg" and found.kind == "vector":
        several = vector.vector_layers(path)
        names = several if len(several) > 1 else names
    with reading(path):
        modified = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    for layer in names:
        name = relative if layer is None else f"{relative}:{layer}"
        made = ids.made_id("path", name), ids.made_id("timestamp", name)
        target = Target(*made, found.kind, name, date=modified, owner=context.owner)
        with context.store.intake.parcel(path, kind=found.kind, overrides=Overrides(layer=layer)) as parcel:
            context.store.put(target, [parcel], replace=context.replace)
            parts = cast(FileParcel, parcel).parts
        yield name, answer(target.path_id, found.kind, [target.timestamp_id]), parts
