"""Settings: read once, checked once, handed on as one immutable object.

Three places, the later wins: ``settings.toml`` in the home, ``ELLIPSIS_LOCAL_*`` environment variables,
`ellipsis_local.configure`. The home itself can come only from the last two. A relative folder is below the home in the
file, and below the working directory elsewhere, which counts once: when it is read first (our choice).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import platformdirs

from ellipsis_local.errors import SettingsError

PREFIX = "ELLIPSIS_LOCAL_"
SETTINGS_FILE = "settings.toml"
SECRET = frozenset({"upstream_token"})
"""Settings whose value is never shown."""

FOLDERS = ("home", "environments")
"""Settings that are folders."""

AS_THE_SERVICE: Final = "service"
"""The value of `strict` with which cut, limits and types of results are the service's."""

Progress = bool | Callable[[str], None] | None


class Unstated(int):
    """A number that nobody has given."""


@dataclass(frozen=True)
class Settings:
    """How this machine plays the service. Every default keeps to the service where its behaviour is known.

    Examples
    --------
    >>> settings = el.configure(strict=True)
    >>> settings.strict, settings.cut
    (True, 'balanced')
    """

    home: Path
    """The one folder that holds everything."""
    crs: Literal["EPSG:3857", "native"] = "EPSG:3857"
    """The CRS of what functions receive; `native` keeps the layers' own where they share one."""
    features: Literal["once", "intersecting"] = "once"
    """Which features a partition holds: those with a point of theirs in it, or all that touch it."""
    overlap: float = 0.0
    """A halo around each partition, in units of its CRS."""
    cut: Literal["balanced", "rows", "columns", "blocks", "medians", "random", "shards"] = "balanced"
    """How layers are cut: for balance, or otherwise, to see what a function makes of it; `random` follows `seed`.

    `shards`, as the service: overlapping windows of the grid of tiles, of which a node is given several.
    """
    shard_size: int = 4096
    """Pixels along each side of a shard, its buffer included."""
    shard_buffer: int = 64
    """Pixels on each side of a shard that its neighbours have as well; the service's number is not known."""
    shard_edge: Literal["full", "cropped"] = "full"
    """Whether shards at the edge of the rasters are of full size, with nodata or 0 beyond, or cropped to them."""
    cores: int | None = None
    """How many nodes run at the same time; all cores of the machine where None."""
    node_timeout: float | None = None
    """Seconds that one node may take for one execution."""
    node_memory: int | None = None
    """Bytes that one node may hold: its partition and what the function allocates.

    Where None its share of the memory that is free when the nodes start, its partition not counted.
    """
    max_nodes: int = Unstated(64)
    """The plan: nodes per compute, and what `nodes=None` asks for; see `plan`."""
    strict: bool | Literal["service"] = False
    """Refuse what runs here and would not on the service; `service` also cuts, counts and answers as that does."""
    failed_status: Literal["completed", "errored"] = "completed"
    """A compute's status after an execution in which a node failed; `errored` is final, as the client takes it."""
    offline: bool | None = None
    """Never ask a package index; None asks it only where the local cache has no answer, or passed a newer one over."""
    progress: Progress = None
    """True prints steps to stderr, a callable receives them; None shows a bar where stderr is a terminal, and in a
    notebook, for what takes more than a second."""
    cache_size: int = 20 * 1024**3
    """Bytes of cut layers that are kept; the least recently used go first."""
    upstream: str | None = None
    """The address of a service, up to and including /v3, from which createCompute pulls layers that are not here."""
    upstream_token: str | None = field(default=None, repr=False)
    """The token for `upstream`; sent nowhere else."""
    scheduler: Any = None
    """A Dask cluster that runs the nodes: the address of its scheduler, in code also a Client or Cluster of Dask."""
    inline: bool = False
    """Run nodes in the calling process, one after the other, with its own packages; no environment is built."""
    seed: int | None = None
    """Ids, and the `random` and numpy.random of every node, follow from it; None draws anew each time."""
    clock: datetime | None = None
    """The instant that all that is stored gets as its time, in UTC; None: the time that it is."""
    environments: Path | None = None
    """The folder of environments, their locks and what is known of interpreters, which homes may share; in the home
    where None."""

    @property
    def plan(self) -> int:
        """What `nodes=None` asks for: max_nodes. With `strict='service'` that has to be given: a plan of the service
        has no nodes by default (seen in its schema)."""
        unknown = self.strict == AS_THE_SERVICE and isinstance(self.max_nodes, Unstated)
        return 0 if unknown else self.max_nodes

    def __post_init__(self) -> None:
        for name in FOLDERS:
            folder = getattr(self, name)
            object.__setattr__(self, name, None if folder is None else folder.absolute())
        name = "home" if self.environments is None else "environments"
        if not self.inline and os.pathsep in str(getattr(self, name)):
            raise SettingsError(
                f"{name} must be a folder without {os.pathsep!r} in its path, with which no Python environment can be "
                f"made there, not {str(getattr(self, name))!r}; choose another, or set environments alone to one"
            )
        self._check_cut()
        if self.inline and self.scheduler is not None:
            raise SettingsError(
                f"scheduler={self.scheduler!r} does not go with inline=True, which runs nodes in the calling process; "
                "leave one of them out"
            )
        for name in ("node_timeout", "node_memory"):
            if self.inline and getattr(self, name) is not None:
                raise SettingsError(
                    f"{name} cannot be kept with inline=True, which runs nodes in the calling process; leave {name} "
                    "out, or set inline=False"
                )

    def _check_cut(self) -> None:
        """See to it that what decides the cut goes together."""
        if self.strict == AS_THE_SERVICE:
            if self.cut not in ("balanced", "shards"):
                raise SettingsError(
                    f"cut={self.cut!r} is not how strict={AS_THE_SERVICE!r} cuts; leave it out, or use strict=True"
                )
            object.__setattr__(self, "cut", "shards")
        if self.cut != "shards":
            return
        if not 2 * self.shard_buffer < self.shard_size:
            raise SettingsError(
                f"shard_buffer must be less than half of shard_size={self.shard_size}, so that shards have a core, "
                f"not {self.shard_buffer}"
            )
        for name, only in (("crs", "EPSG:3857"), ("overlap", 0), ("features", "once")):
            if getattr(self, name) != only:
                raise SettingsError(
                    f"{name}={getattr(self, name)!r} does not go with cut='shards', which are windows of Web Mercator "
                    f"with a buffer (shard_buffer) and whole features; leave {name} out, or choose another cut"
                )


def default_home() -> Path:
    return Path(platformdirs.user_data_dir("ellipsis_local", appauthor=False))


def typed_command(home: Path, words: str) -> str:
    """What a person types to run a command of this program on a home: with its folder, unless it is the usual one."""
    usual = os.environ.get(f"{PREFIX}HOME") or default_home()
    named = "" if Path(usual).expanduser().absolute() == home else f"--home {shlex.quote(str(home))} "
    return f"ellipsis-local {named}{words}"


WORDS = {**dict.fromkeys(("1", "true", "yes", "on"), True), **dict.fromkeys(("0", "false", "no", "off"), False)}


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool | str) or str(value).lower() not in WORDS:
        raise ValueError("must be true or false")
    return WORDS[str(value).lower()]


def parse_strict(value: Any) -> bool | str:
    """The setting `strict`; ValueError saying what it must be."""
    if isinstance(value, str) and value.lower() == AS_THE_SERVICE:
        return AS_THE_SERVICE
    try:
        return _boolean(value)
    except ValueError:
        raise ValueError(f"must be true, false or {AS_THE_SERVICE!r}") from None


def _choice(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        for name in allowed:
            if isinstance(value, str) and value.lower() == name.lower():
                return name
        raise ValueError(f"must be one of {', '.join(allowed)}")

    return parse


def _number(kind: type[int] | type[float], minimum: float, *, exclusive: bool = False) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"must be of type {kind.__name__}")
        try:
            number = kind(value)
            exact = float(number) == float(value)
        except (ValueError, OverflowError):
            raise ValueError(f"must be of type {kind.__name__}") from None
        if not exact:
            raise ValueError("must be a whole number")
        if not minimum <= number < float("inf") or (exclusive and number == minimum):
            raise ValueError(f"must be {'above' if exclusive else 'at least'} {minimum:g}, and finite")
        return number

    return parse


UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", value)
        if not match or match[2].lower() not in UNITS:
            raise ValueError("must be a number of bytes, or a text such as '500 MB' or '2 GiB'")
        value = int(float(match[1]) * UNITS[match[2].lower()])
    return int(_number(int, 0, exclusive=True)(value))


def _folder(value: Any) -> Path:
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ValueError("must be the path of a folder")
    try:
        path = Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("begins with the home of a user whom nobody knows") from error
    if path.exists() and not path.is_dir():
        raise ValueError("is a file, and must be a folder")
    return path


def _instant(value: Any) -> datetime:
    moment = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(value.strip())
    if isinstance(moment, datetime) and moment.utcoffset() is not None:
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise ValueError("must lie in the years 1 to 9999 in UTC") from None
    if isinstance(moment, date):
        raise ValueError(
            "must say its time zone, such as 2025-06-01T12:00:00+00:00 or datetime(…, tzinfo=timezone.utc)"
        )
    raise ValueError("must be a time with its zone, such as 2025-06-01T12:00:00+00:00")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return f".{host.lower()}".endswith(".localhost")


def package_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ellipsis-local")
    except PackageNotFoundError:  # a checkout on the path, not installed
        return "0+unknown"


def service_url(value: Any, *, insecure: bool = False) -> str:
    """The address of a service, with the usual /v3 where it has no path; ValueError saying what one must be."""
    value = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(value.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or re.search(r"[\s\\]", value.strip()):
        raise ValueError("must be an address such as https://api.ellipsis-drive.com/v3")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be an address without user, query and fragment; the token is given apart from it")
    if parts.scheme == "http" and not is_loopback(host) and not insecure:
        raise ValueError(
            "must begin with https://, because plain http shows the token and the layers to the network "
            "(layers.pull takes insecure=True, and the command --insecure, for a network that you trust)"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/') or '/v3'}"


def same_service(url: str, other: str) -> bool:
    """Whether two addresses are on one server, so that the token of one may be shown to the other."""
    try:
        parts = [urlsplit(service_url(one, insecure=True)) for one in (url, other)]
    except ValueError:
        return False
    ports = {"http": 80, "https": 443}
    return len({(one.scheme, one.hostname, one.port or ports[one.scheme]) for one in parts}) == 1


def service_token(value: Any) -> str:
    """A token without its 'Bearer '; ValueError where it cannot be one."""
    text = value.strip().removeprefix("Bearer ").strip() if isinstance(value, str) else ""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("must be the text that the service's account.logIn returned")
    return text


def _scheduler(value: Any) -> Any:
    """An address, or one of Dask's objects, as far as that can be told without Dask."""
    if hasattr(value, "submit") or hasattr(value, "get_client"):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"([a-z]+://)?[^\s/]+:\d+(/\S*)?", value.strip()):
        raise ValueError(
            "must be the address of a scheduler, such as tcp://10.0.0.5:8786, or in code a Client or Cluster of Dask"
        )
    return value.strip()


def _progress(value: Any) -> Progress:
    return value if callable(value) else _boolean(value)


PARSERS: dict[str, Callable[[Any], Any]] = {
    "home": _folder,
    "crs": _choice("EPSG:3857", "native"),
    "features": _choice("once", "intersecting"),
    "overlap": _number(float, 0),
    "cut": _choice("balanced", "rows", "columns", "blocks", "medians", "random", "shards"),
    "shard_size": _number(int, 1),
    "shard_buffer": _number(int, 0),
    "shard_edge": _choice("full", "cropped"),
    "cores": _number(int, 1),
    "node_timeout": _number(float, 0, exclusive=True),
    "node_memory": _bytes,
    "max_nodes": _number(int, 0),
    "strict": parse_strict,
    "failed_status": _choice("completed", "errored"),
    "offline": _boolean,
    "progress": _progress,
    "cache_size": _bytes,
    "upstream": service_url,
    "upstream_token": service_token,
    "scheduler": _scheduler,
    "inline": _boolean,
    "seed": _number(int, 0),
    "clock": _instant,
    "environments": _folder,
}
OPTIONAL = {setting.name for setting in fields(Settings) if setting.default is None}
assert set(PARSERS) == {setting.name for setting in fields(Settings)}  # noqa: S101


def _parse(name: str, value: Any, source: str) -> Any:
    if name not in PARSERS:
        raise SettingsError(f"{source}: there is no setting {name!r}; there are {', '.join(PARSERS)}")
    if name in OPTIONAL and (value is None or (isinstance(value, str) and value.lower() in ("", "none"))):
        return None
    try:
        return PARSERS[name](value)
    except ValueError as error:
        given = "" if name in SECRET else f", not {value!r}"
        raise SettingsError(f"{source}: {name} {error}{given}") from None


def _from_file(home: Path) -> dict[str, Any]:
    path = home / SETTINGS_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML: {error}") from error
    if "home" in table:
        raise SettingsError(f"{path}: home cannot be set in a file that lies in the home; use {PREFIX}HOME")
    found = {name: _parse(name, value, str(path)) for name, value in table.items()}
    if found.get("environments") is not None:
        found["environments"] = home.absolute() / Path(table["environments"]).expanduser()
    return found


# Named like settings, and read by the tests and benchmarks instead.
OTHER_VARIABLES = {f"{PREFIX}TEST_DATA", f"{PREFIX}BENCHMARK_DATA"}


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    ours = {name: name.removeprefix(PREFIX).lower() for name in environ if name.startswith(PREFIX)}
    return {one: _parse(one, environ[name], name) for name, one in ours.items() if name not in OTHER_VARIABLES}


def process_environ() -> Mapping[str, str]:
    """The variables of this process, with relative folders made absolute for good, and for its children, too."""
    for variable in (f"{PREFIX}{name.upper()}" for name in FOLDERS):
        value = os.environ.get(variable, "")
        if value.lower() not in ("", "none") and not value.startswith(("/", "~")):
            os.environ[variable] = str(Path(value).absolute())
    return os.environ


def absolute_folders(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What was given, with its folders as they are now, wherever the process goes; SettingsError as `read_settings`."""
    return {name: _parse(name, value, source) if name in FOLDERS else value for name, value in given.items()}


def read_settings(
    given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, *, source: str = "configure"
) -> Settings:
    """Settings from file, environment and `given`, the later winning; SettingsError names the place (`source`)."""
    values = {name: _parse(name, value, source) for name, value in (given or {}).items()}
    from_environ = _from_environ(process_environ() if environ is None else environ)
    homes = [place.pop("home", None) for place in (values, from_environ)]
    home = next(filter(None, homes), None) or default_home()
    found: dict[str, Any] = {"home": home, **_from_file(home), **from_environ, **values}
    return Settings(**found)
