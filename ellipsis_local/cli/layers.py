"""`ellipsis-local layers`: what lies in the home, into it and out of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ellipsis_local.cli import printing
from ellipsis_local.cli.completion import complete_layers
from ellipsis_local.cli.printing import Json, Yes, console, moment, print_answer, print_json, print_list, size, table
from ellipsis_local.cli.resolve_ids import find_layer
from ellipsis_local.cli.session import session_of
from ellipsis_local.errors import ArgumentError
from ellipsis_local.progress import BAR, Progress

app = typer.Typer(
    help="The layers of the home: add files under the ids that scripts have written in them, list, export, remove.",
    no_args_is_help=True,
)
DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
Layer = Annotated[
    str,
    typer.Argument(
        help="The layer's path id, or its name where only one has it.",
        show_default=False,
        autocompletion=complete_layers,
    ),
]
TimestampId = Annotated[
    str | None, typer.Option("--timestamp-id", "-t", help="One of its timestamps; needed where it has several.")
]


class Kind(StrEnum):
    RASTER = "raster"
    VECTOR = "vector"
    FILE = "file"


class LayerKind(StrEnum):
    RASTER = "raster"
    VECTOR = "vector"


def timestamps_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.get(answer["type"], {}).get("timestamps", [])
    return found


def only_timestamp(answer: dict[str, Any]) -> str:
    ids = [str(timestamp["id"]) for timestamp in timestamps_of(answer)]
    if len(ids) != 1:
        text = f"layer {answer['name']!r} has {len(ids)} timestamps: give --timestamp-id {', '.join(ids) or 'none'}"
        raise ArgumentError(text, argument="timestampId")
    return ids[0]


@app.command()
def add(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(help="A file: GeoTIFF, GeoPackage, GeoJSON, Shapefile (also zipped), …")],
    path_id: Annotated[
        str | None, typer.Option(help="The UUID that scripts know it by; a new one where left out.")
    ] = None,
    timestamp_id: Annotated[str | None, typer.Option(help="The same for the timestamp.")] = None,
    name: Annotated[str | None, typer.Option(help="The file's name where left out.")] = None,
    kind: Annotated[
        Kind | None, typer.Option("--type", help="Where a file can be read as either; `file` takes any file as it is.")
    ] = None,
    begin: Annotated[datetime | None, typer.Option("--from", formats=DATES, help="Begin of its date, in UTC.")] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=DATES, help="End of its date; the begin where left out.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="Of the timestamp.")] = None,
    epsg: Annotated[int | None, typer.Option(help="The CRS, in place of the file's.")] = None,
    nodata: Annotated[float | None, typer.Option(help="The nodata value, in place of the file's.")] = None,
    layer: Annotated[str | None, typer.Option(help="Which layer of a file that holds several.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what the timestamp holds.")] = False,
    as_json: Json = False,
) -> None:
    """Add one file as a layer. It is copied; the same file under the same ids again changes nothing."""
    with session_of(ctx).emulator() as emulator, BAR.working(f"adding {source.name}", emulator.shows_bar):
        if kind is Kind.FILE:
            answer = {"pathId": emulator.store.add_plain_file(source, name=name, path_id=path_id, replace=replace)}
        else:
            from ellipsis_local import layers

            answer = layers.add(
                source, path_id, timestamp_id, name=name, type=kind.value if kind else None, date=date_of(begin, end),
                description=description, epsg=epsg, noDataValue=nodata, layer=layer, replace=replace,
            )  # fmt: skip
    print_answer(answer, f"added {source.name}; for createCompute:\n{answer}", as_json=as_json)


def date_of(begin: datetime | None, end: datetime | None) -> dict[str, datetime] | None:
    if begin is None:
        if end is not None:
            raise typer.BadParameter("needs --from as well", param_hint="--to")
        return None
    return {"from": begin.replace(tzinfo=UTC), "to": (end or begin).replace(tzinfo=UTC)}


@app.command()
def load(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of layers; where left out, the valley that is shipped.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what is there under the same ids.")] = False,
    as_json: Json = False,
) -> None:
    """Add a folder of layers: by its catalog.toml, else every layer file, under ids that are the same everywhere."""
    with session_of(ctx).emulator() as emulator, BAR.working("adding layers", emulator.shows_bar):
        loaded = emulator.store.load(folder, replace=replace, progress=emulator.report)
    if as_json:
        print_json(loaded)
        return
    rows = [
        (name, layer.get("type"), layer["pathId"], timestamp)
        for name, layer in loaded.items()
        for timestamp in layer.get("timestamps") or [layer.get("timestampId")]
    ]
    console().print(table("name", "type", "path id", "timestamp id", rows=rows, fold=("name",)))


@app.command()
def pull(
    ctx: typer.Context,
    path_id: Annotated[str, typer.Argument(help="The id of a raster, vector, file or folder there.")],
    timestamp_ids: Annotated[
        list[str] | None, typer.Argument(help="Timestamps of a raster or vector; all where left out.")
    ] = None,
    from_url: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="The service, up to and including /v3; else the setting upstream."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="What account.logIn there returned. Other users of this machine can see it in the list of processes: "
            "--token-file, or ELLIPSIS_LOCAL_UPSTREAM_TOKEN, hides it."
        ),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file that holds the token and nothing else.")] = None,
    extent: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="XMIN YMIN XMAX YMAX", help="Only what touches it, in degrees, or as --epsg says."),
    ] = None,
    epsg: Annotated[int, typer.Option(help="The CRS of --extent.")] = 4326,
    replace: Annotated[bool, typer.Option("--replace", help="Replace what is here by what is there now.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Take plain http to another machine: the token can be read on the way.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring layers of another service here, under their ids.

    A pull that broke off goes on where it was. Doing it again changes nothing.
    """
    from ellipsis_local import layers

    with session_of(ctx).emulator():
        answer = layers.pull(
            path_id,
            timestamp_ids or None,
            fromUrl=from_url,
            token=read_token(token_file) if token is None and token_file is not None else token,
            extent=None if extent is None else dict(zip(("xMin", "yMin", "xMax", "yMax"), extent, strict=True)),
            epsg=epsg,
            replace=replace,
            insecure=insecure,
            progress=tell,
        )
    print_answer(answer, pulled_text(answer), as_json=as_json)


def read_token(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not text:
        raise ArgumentError(f"{path} holds no token", argument="token")
    return text


def pulled_text(answer: dict[str, Any]) -> str:
    """One line on what came, one more for createCompute."""
    everything = list(below(answer))
    keys = ("pulled", "unchanged", "skipped")
    pulled, unchanged, skipped = (sum(len(path[key]) for path in everything) for key in keys)
    if unchanged and not pulled:
        parts = ["all of it is here already, nothing was changed"]
    else:
        parts = [f"pulled {pulled}"] + ([f"{unchanged} here already"] if unchanged else [])
    if skipped:
        parts.append(f"{skipped} with nothing to pull")
    text = f"{answer['name']}: {', '.join(parts)}"
    if answer.get("timestampId"):
        text += f"\nfor createCompute:\n{ {key: answer[key] for key in ('pathId', 'timestampId')} }"
    return text


def below(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield answer
    for path in answer.get("paths", ()):
        yield from below(path)


def tell(step: Progress) -> None:
    """Show progress on stderr: steps as lines, and on a terminal numbers as a bar."""
    if not step.passing:
        with BAR.hidden():
            printing.errors().print(str(step), markup=False)
    BAR.tell(step)


@app.command()
def invent(
    ctx: typer.Context,
    path_id: Annotated[
        str | None, typer.Argument(help="The id that scripts know it by; where left out, all that the lock file knows.")
    ] = None,
    timestamp_id: Annotated[str | None, typer.Argument(help="The same for the timestamp.")] = None,
    like: Annotated[Path | None, typer.Option(help="A file whose bands, columns, CRS … it is to have.")] = None,
    lock: Annotated[
        Path | None, typer.Option(help="What `layers lock` wrote; layers.lock.toml, if it is here, where left out.")
    ] = None,
    kind: Annotated[LayerKind | None, typer.Option("--type", help="Where nothing else says it.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the layer.")] = None,
    bands: Annotated[str | None, typer.Option(help="How many, or their names: blue,green,red.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of its pixels, such as uint16.")] = None,
    nodata: Annotated[float | None, typer.Option(help="One pixel in twenty has this value.")] = None,
    value_range: Annotated[
        tuple[float, float] | None, typer.Option("--range", metavar="LOW HIGH", help="Of its pixels.")
    ] = None,
    resolution: Annotated[float | None, typer.Option(help="The side of a pixel, in units of the CRS.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", metavar="NAME:TYPE", help="A column of a vector; can be repeated.")
    ] = None,
    geometry: Annotated[str | None, typer.Option(help="Point, LineString, Polygon or Multi… of one of them.")] = None,
    features: Annotated[int | None, typer.Option(help="How many.")] = None,
    extent: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="XMIN YMIN XMAX YMAX", help="Where it lies, in units of the CRS."),
    ] = None,
    epsg: Annotated[int | None, typer.Option(help="The CRS.")] = None,
    seed: Annotated[int, typer.Option(help="Another one draws other values.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a stand-in for a layer that is not here: plausible values under its ids, until the layer itself is pulled.

    The same command makes the same layer everywhere. It never takes the place of a layer.
    """
    from ellipsis_local import layers

    with session_of(ctx).emulator():
        answer = layers.invent(
            path_id, timestamp_id, like=like, lock=lock, type=kind.value if kind else None, name=name,
            bands=read_bands(bands), dtype=dtype, noDataValue=nodata, valueRange=value_range, resolution=resolution,
            columns=read_columns(columns), geometry=geometry, features=features,
            extent=None if extent is None else dict(zip(("xMin", "yMin", "xMax", "yMax"), extent, strict=True)),
            epsg=epsg, seed=seed,
        )  # fmt: skip
    text = f"a stand-in, no real data; for createCompute:\n{answer}"
    if isinstance(answer, list):
        text = f"{len(answer)} stand-ins, no real data" if answer else "all of it is here already, nothing was changed"
    print_answer(answer, text, as_json=as_json)


def read_bands(text: str | None) -> int | list[str] | None:
    if text is None:
        return None
    return int(text) if text.isdecimal() else text.split(",")


def read_columns(texts: list[str] | None) -> dict[str, str] | None:
    if not texts:
        return None
    for text in texts:
        if ":" not in text:
            raise typer.BadParameter(f"{text!r} is not NAME:TYPE, such as height:float", param_hint="--column")
    return {name: kind for name, _, kind in (text.rpartition(":") for text in texts)}


@app.command()
def lock(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file, to be committed beside the script.")] = Path(
        "layers.lock.toml"
    ),
    path_ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only this layer; can be repeated. All where left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what is known of the layers (bands, columns, CRS, extent …) into a file, for `invent` to go by."""
    from ellipsis_local import layers

    with session_of(ctx).emulator():
        answer = layers.lock(file, path_ids or None)
    print_answer(answer, f"{file} knows {len(answer)} timestamps", as_json=as_json)


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List all layers."""
    from ellipsis_local import layers

    with session_of(ctx).emulator() as emulator:
        answers = layers.list()
        home = emulator.home.root
    print_list(
        answers,
        "name", "type", "timestamps", "path id", right=("timestamps",), fold=("name",),
        rows=[(a["name"], type_of(a), len(timestamps_of(a)) or None, a["id"]) for a in answers],
        empty=f"no layers in {home}; add some with `layers add` or `layers load`, or run `demo`",
        as_json=as_json,
    )  # fmt: skip


def type_of(answer: dict[str, Any]) -> str:
    invented = any(timestamp.get("standIn") for timestamp in timestamps_of(answer))
    return f"{answer['type']}, stand-in" if invented else str(answer["type"])


@app.command()
def show(ctx: typer.Context, layer: Layer, as_json: Json = False) -> None:
    """Show one layer: its timestamps with their ids, and what their files hold."""
    from ellipsis_local import layers
    from ellipsis_local.answers import file_answer

    with session_of(ctx).emulator() as emulator:
        path_id = find_layer(emulator.store.list(), layer)
        answer = layers.get(path_id)
        for timestamp in timestamps_of(answer):
            timestamp["files"] = [file_answer(file) for file in emulator.store.files(path_id, timestamp["id"])]
    if as_json:
        print_json(answer)
    else:
        show_layer(answer)


def show_layer(answer: dict[str, Any]) -> None:
    out = console()
    out.print(f"[bold]{answer['name']}[/]  {answer['type']}  {answer['id']}")
    if description := answer["metadata"].get("description"):
        out.print(description, markup=False)
    if "file" in answer:
        out.print(f"size  {size(answer['file']['size'])}")
    for timestamp in timestamps_of(answer):
        date = "{from:%Y-%m-%d} to {to:%Y-%m-%d}".format_map(timestamp["date"])
        invented = "  [yellow]stand-in[/]" if timestamp.get("standIn") else ""
        out.print(f"\ntimestamp {timestamp['id']}  {timestamp['status']}  {date}{invented}")
        if timestamp["description"]:
            out.print(timestamp["description"], markup=False)
        rows = [
            (file["name"], size(file["info"]["size"]), moment(file["date"].replace(tzinfo=UTC)), state(file))
            for file in timestamp["files"]
        ]
        out.print(table("file", "size", "added", "content", rows=rows, right=("size",), fold=("file", "content")))


def content(info: dict[str, Any]) -> str:
    from ellipsis_local.reports.texts import crs_name

    if "features" in info:
        return f"{info['features']} features, {crs_name(info['crs'])}; {', '.join(info['properties'])}"
    if "bands" in info:
        nodata = "" if info["noDataValue"] is None else f", nodata {info['noDataValue']:g}"
        return f"{info['width']} × {info['height']}, {info['bands']} × {info['dtype']}, {crs_name(info['crs'])}{nodata}"
    return ""


def state(file: dict[str, Any]) -> str:
    return content(file["info"]) if file["status"] == "completed" else f"{file['status']}: {file['message'] or ''}"


@app.command()
def remove(
    ctx: typer.Context,
    layer: Layer,
    timestamp_id: Annotated[str | None, typer.Option("--timestamp-id", "-t", help="Only this timestamp of it.")] = None,
    yes: Yes = False,
) -> None:
    """Remove a layer, or one of its timestamps, with its files. Asks first on a terminal."""
    from ellipsis_local import layers

    with session_of(ctx).emulator() as emulator:
        path_id = find_layer(emulator.store.list(), layer)
        name = emulator.store.path(path_id).name
        what = f"layer {name!r}" if timestamp_id is None else f"timestamp {timestamp_id} of layer {name!r}"
        printing.confirm(f"Remove {what} and its files from {emulator.home.root}?", yes=yes)
        layers.remove(path_id, timestamp_id)
    console().print(f"removed {what}", markup=False)


@app.command()
def export(
    ctx: typer.Context,
    layer: Layer,
    target: Annotated[
        Path, typer.Argument(help="Its ending tells the format: .tif; .gpkg, .geojson, .fgb, .parquet, .shp.zip")
    ],
    timestamp_id: TimestampId = None,
    cog: Annotated[bool, typer.Option("--cog", help="A cloud-optimised GeoTIFF: tiles and overviews.")] = False,
) -> None:
    """Write a timestamp to one file: several rasters as their mosaic, several vectors one after the other."""
    from ellipsis_local import layers, path

    with session_of(ctx).emulator() as emulator:
        path_id = find_layer(emulator.store.list(), layer)
        answer = layers.get(path_id)
        if answer["type"] == "file":
            path.file.download(path_id, target)
        else:
            only = timestamp_id if timestamp_id is not None else only_timestamp(answer)
            layers.export(path_id, only, target, format="cog" if cog else None)
    console().print(f"wrote {target} ({size(target.stat().st_size)})", markup=False)
