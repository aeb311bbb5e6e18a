"""The emulator: one object over one home, which owns the rooms and their lifetime; `configure`."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ellipsis_local import accounts, drive, faults, features, sharing, store, upstream
from ellipsis_local import computes as computes_room
from ellipsis_local.accounts import Accounts, User
from ellipsis_local.clocks import import_pandas
from ellipsis_local.computes import Computes, Records
from ellipsis_local.computes.execution import WriteTarget
from ellipsis_local.computes.specification import ComputeRequest
from ellipsis_local.database import Database, check_format
from ellipsis_local.drive import Drive, PathMetadata
from ellipsis_local.environments import Environments, OwnEnvironments
from ellipsis_local.errors import AccessError, EllipsisLocalError, MockError, NotFoundError
from ellipsis_local.home import Home
from ellipsis_local.identity import Identity
from ellipsis_local.nodes import Engine, FaultyEngine, InlineEngine, LocalEngine
from ellipsis_local.partitions import Partitions
from ellipsis_local.progress import BAR, OnProgress, Progress
from ellipsis_local.restore import finish_import
from ellipsis_local.scopes import BASE, Scope, current_scope
from ellipsis_local.settings import Settings, absolute_folders, read_settings
from ellipsis_local.sharing import Sharing
from ellipsis_local.store import LayerStore
from ellipsis_local.tracebacks import short_traceback
from ellipsis_local.upstream import RefusedError, Upstream

if TYPE_CHECKING:
    from ellipsis_local.cluster import DaskEngine
    from ellipsis_local.features.features import Features
    from ellipsis_local.imagery import Imagery

ROOMS = (store, accounts, sharing, drive, features, upstream, computes_room)
SCHEMA = tuple(statement for room in ROOMS for statement in room.SCHEMA)
"""All tables of a home."""


class Emulator:
    """The service, on one home.

    Parameters
    ----------
    settings : Settings, optional
        Those of file, environment variables and `configure` where None.
    engine : Engine, optional
        What runs the nodes; where None, this machine's processes, or with the setting `inline` this very one.
    mocked : bool
        Whether its users are invented; see `Accounts`.

    Several emulators, in one process or in several, may share a home. Use it as a context manager, or call `close`:
    it ends the workers of this process, and everything stored stays.

    Examples
    --------
    >>> with el.Emulator(el.configure()) as emulator:
    ...     print(len(emulator.store.list()))
    0
    """

    def __init__(self, settings: Settings | None = None, *, engine: Engine | None = None, mocked: bool = False) -> None:
        self._engine = engine
        self._mocked = mocked
        self._open(settings or read_settings())

    def _open(self, settings: Settings) -> None:
        self.settings = settings
        self.fronts: dict[str, Any] = {}
        """What fronts keep for as long as it is open."""
        home = self.home = Home(settings.home, settings.environments)
        check_format(home.database)
        home.prepare()
        finish_import(home, SCHEMA)
        # One brings an older home up to date; others wait, however long that takes.
        with home.lock("database"):
            self.database = Database(
                home.database, SCHEMA, Identity(settings.seed, settings.clock), strict=bool(settings.strict)
            )
        self.accounts = Accounts(self.database, mocked=self._mocked)
        self.store = LayerStore(home, self.database)
        self.sharing = Sharing(self.database, self.store.catalogue, self.accounts)
        metadata = self.path_metadata = PathMetadata(self.database)
        self.upstream = Upstream(
            home, self.store, self.database, name_bands=lambda path_id, names: metadata.update(path_id, "bands", names)
        )
        self.environments = Environments(home, offline=settings.offline)
        engine = self._engine or self._made_engine(settings)
        offers = engine.capabilities
        self.partitions = Partitions(
            home,
            # Of a cluster they are other machines'.
            cores=settings.cores if settings.scheduler is None else None,
            cache_size=settings.cache_size,
            here="rasters" if offers.beside else "all",
        )
        environments = self.environments if offers.environments else OwnEnvironments(home, strict=bool(settings.strict))
        fetch = None if settings.upstream is None else self._fetch
        records = Records(self.database)
        self.computes = Computes(
            home,
            settings,
            records,
            self.store,
            environments,
            self.partitions,
            FaultyEngine(engine, home.root, lambda compute_id: self.computes.terminate(compute_id, None, wait=True)),
            self.report,
            fetch,
        )
        self._pid = os.getpid()

    def _made_engine(self, settings: Settings) -> Engine:
        """The engine of the settings. Nobody who does not ask for Dask imports it."""
        self._cluster: DaskEngine | None = None
        if settings.scheduler is None:
            return InlineEngine() if settings.inline else LocalEngine()
        from ellipsis_local.cluster import DaskEngine

        self._cluster = DaskEngine(settings.scheduler)
        return self._cluster

    def user(self, token: str) -> User:
        """Whose token it is; see `Accounts.user`."""
        return self.accounts.user(token)

    @cached_property
    def features(self) -> Features:
        """The features of vectors; numpy is imported with them."""
        from ellipsis_local.features.features import Features

        return Features(self.home, self.database, self.store)

    @cached_property
    def imagery(self) -> Imagery:
        """Pixels of rasters; numpy is imported with them."""
        from ellipsis_local.imagery import Imagery

        return Imagery()

    def drive(self, user: User | None) -> Drive:
        """The paths of the home as a user sees them; None is whoever has no token."""
        return Drive(user, self.store, self.sharing, self.path_metadata)

    def account(self, user: User) -> dict[str, Any]:
        """What the service tells of an account (seen in the client: `plan.maxComputeNodes`)."""
        most = faults.most_nodes(self.home.root, self.settings.plan)
        return {"id": user.id, "username": user.name, "plan": {"maxComputeNodes": most}}

    def create_compute(self, request: ComputeRequest, user: User, *, wait: bool) -> str:
        """Make a compute of layers that the user may view; its id. See `Computes.create`."""
        layers = [path_id for path_id, _ in request.layers]
        self._check_computes(user)
        # What is missing is told as a whole, unless it can be fetched.
        self.drive(user).readable([*layers, *request.files], missing_ok=True)
        with BAR.working("starting a compute", self.shows_bar) if wait else contextlib.nullcontext():
            return self.computes.create(request, user.id, wait=wait)

    def execute_compute(
        self, compute_id: str, function: Any, user: User, *, wait: bool, target: WriteTarget | None = None
    ) -> list[Any] | None:
        """Run a function on a compute, into a layer that the user may edit. See `Computes.execute`."""
        self._check_computes(user, compute_id)
        if target is not None:
            self.drive(user).editable(target.path_id)
        with BAR.working("executing", self.shows_bar) if wait else contextlib.nullcontext():
            return self.computes.execute(compute_id, function, user.id, wait=wait, target=target)

    def terminate_compute(self, compute_id: str, user: User, *, wait: bool) -> None:
        """End a compute. See `Computes.terminate`."""
        self._check_computes(user, compute_id)
        self.computes.terminate(compute_id, user.id, wait=wait)

    def check_reach(self, compute_id: str, user: User) -> None:
        """An access token reaches those of its user's computes whose layers and files it may view (our choice)."""
        if user.grants is not None:
            request = self.computes.records.get(compute_id, user.id).spec.request
            self.drive(user).readable([*(path_id for path_id, _ in request.layers), *request.files])

    def reaches(self, compute_id: str, user: User) -> bool:
        """Whether `check_reach` has nothing against it."""
        try:
            self.check_reach(compute_id, user)
        except (AccessError, NotFoundError):
            return False
        return True

    def _check_computes(self, user: User, compute_id: str | None = None) -> None:
        """AccessError for an access token that must not run code, or not on this compute."""
        if not user.computes:
            way = "make one with 'canCompute': True in the access of an entry, or log in with account.logIn"
            raise AccessError(f"this access token must not create, execute or terminate computes: {way}")
        if compute_id is not None:
            self.check_reach(compute_id, user)

    def _fetch(self, path_id: str, timestamp_id: str | None, tell: OnProgress, check: Callable[[], None]) -> None:
        """Pull what a compute asks for from the service that the setting `upstream` names."""
        url, token = self.settings.upstream, self.settings.upstream_token
        wanted = None if timestamp_id is None else [timestamp_id]
        assert url is not None  # noqa: S101

        try:
            self.upstream.pull(path_id, wanted, url=url, token=token, progress=tell, check=check)
        except RefusedError as error:
            if error.status != 404:
                raise
            text = f"{path_id} is not in this home, and {error}"
            raise NotFoundError(text, argument="pathId", value=path_id) from error

    def report(self, step: Progress) -> None:
        """Tell whoever follows, as the setting `progress` says: of numbers, which come often, the bar alone."""
        progress = self.settings.progress
        if progress is None:
            BAR.tell(step)
        elif step.passing:
            return
        elif callable(progress):
            progress(str(step))
        elif progress:
            print(f"ellipsis_local: {step}", file=sys.stderr, flush=True)  # noqa: T201 - asked for

    def shows_bar(self) -> bool:
        """Whether the setting `progress` leaves it to us what is shown, on a terminal and in a notebook."""
        return self.settings.progress is None

    @property
    def inherited(self) -> bool:
        """Whether this process got the object by a fork: its processes belong to the parent."""
        return self._pid != os.getpid()

    def reopen(self, settings: Settings | None = None) -> None:
        """Begin anew after `close`, on what the home holds by now; whoever holds this object goes on with it."""
        for name in ("features", "imagery"):
            vars(self).pop(name, None)
        self._open(settings or self.settings)

    def close(self, *, tidy: bool = True) -> None:
        """End the workers of this process, and tidy up."""
        if not self.inherited:
            self.computes.close()
            if self._engine is None and self._cluster is not None:
                self._cluster.close()
            self.environments.close()
            self.store.close()
            self.sharing.close()
            if "imagery" in vars(self):
                self.imagery.close()
            # The home may be gone or full; that is no reason to fail at the end.
            with contextlib.suppress(EllipsisLocalError, OSError):
                if tidy:
                    self.tidy()
            self.database.close()

    def tidy(self) -> None:
        """Remove what killed processes left behind, and the cuts beyond the cache's size."""
        self.home.sweep()
        self.store.sweep()
        self.environments.sweep()
        self.computes.tidy()
        if "features" in vars(self):
            self.features.tidy()
        self.upstream.sweep()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def current_emulator() -> Emulator:
    """The emulator of the module's public functions, made at the first use; within a mock, the mock's."""
    return emulator_of(current_scope())


def emulator_of(scope: Scope) -> Emulator:
    """The emulator of a scope, made at the first use, and again in a forked process; MockError where it was left."""
    with scope.lock:
        if scope.over:
            raise MockError("the ellipsis_local.mock of this call was left meanwhile, by another thread")
        import_pandas()
        found: Emulator | None = scope.emulator
        if found is None or found.inherited:
            found = scope.emulator = Emulator(scope.settings(), mocked=scope.mocked)
        return found


def opened_emulator() -> Emulator | None:
    """The emulator of the module's public functions, where there is one by now."""
    scope = current_scope()
    with scope.lock:
        found: Emulator | None = scope.emulator
        return None if found is None or found.inherited else found


def current_settings() -> Settings:
    """The settings in force, without making an emulator."""
    scope = current_scope()
    with scope.lock:
        return scope.settings()


def working(text: str) -> contextlib._GeneratorContextManager[None]:
    """While somebody waits for it, show how far it is, where the setting `progress` leaves that to us."""

    def wanted() -> bool:
        opened = opened_emulator()
        return (current_settings() if opened is None else opened.settings).progress is None

    return BAR.working(text, wanted)


@short_traceback
def configure(**settings: Any) -> Settings:
    """Set how this process plays the service; settings given before stay unless given again.

    Within `ellipsis_local.mock` it sets how that mock does, until it is left.

    Parameters
    ----------
    **settings
        The fields of `ellipsis_local.settings.Settings`: home, crs, features, overlap, cut, shard_size,
        shard_buffer, shard_edge, cores, node_timeout, node_memory, max_nodes, strict, failed_status, offline, progress,
        cache_size, upstream, upstream_token, scheduler, inline, seed, clock, environments.

    Returns
    -------
    Settings
        What is now in force, from ``settings.toml`` in the home, ``ELLIPSIS_LOCAL_*`` variables and this call.

    Raises
    ------
    SettingsError
        For an unknown name or an impossible value; nothing has changed then.

    Examples
    --------
    >>> el.configure(max_nodes=4, overlap=10).max_nodes
    4
    """
    scope = current_scope()
    with scope.lock:
        new = read_settings(scope.given | settings, scope.environ)
        scope.given.update(absolute_folders(settings, "configure"))
        use(None, scope)
        return new


def use(emulator: Emulator | None, scope: Scope | None = None) -> None:
    """Let the public functions work on this emulator; None: on a new one, by the settings."""
    scope = scope or current_scope()
    with scope.lock:
        former, scope.emulator = scope.emulator, emulator
        if former is not None and former is not emulator:
            former.close()


atexit.register(use, None, BASE)
