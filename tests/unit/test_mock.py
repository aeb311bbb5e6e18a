"""`ellipsis_local.mock` without the client: imports, homes, settings, nesting, threads, tokens, and what is left."""

from __future__ import annotations

import contextvars
import functools
import importlib
import importlib.util
import io
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import ModuleType

import pytest

import ellipsis_local
from ellipsis_local import mock, scopes
from ellipsis_local.errors import (
    AccountError,
    ArgumentError,
    EllipsisLocalError,
    MockError,
    NotEmulatedError,
    NotFoundError,
    SettingsError,
    StoreError,
)
from ellipsis_local.mocking import activation
from ellipsis_local.mocking.client_functions import is_installed
from ellipsis_local.settings import Settings

needs_no_client = pytest.mark.skipif(is_installed(), reason="the client is installed: see tests/client/test_mock.py")

POINT = """{"type": "FeatureCollection", "features": [
    {"type": "Feature", "properties": {"depth": 3}, "geometry": {"type": "Point", "coordinates": [5.1, 52.1]}}
]}"""
HOSTED = (
    "eyJhbGciOiJIUzI1NiJ9.eyJpZCI6IjEifQ.c2lnbmF0dXJl",
    "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpZCI6IjEifQ.c2lnbmF0dXJl",
    "epat_Zm9vYmFyYmF6",
)


def size(params):
    return [len(file.read()) for file in params.values()]


@pytest.fixture(autouse=True)
def outside(el: ModuleType, home: Path) -> Path:
    """The home that is in use outside of all mocks; nothing of a mock may get into it."""
    return home


# ----- imports ---------------------------------------------------------------------------------------------------------


@needs_no_client
def test_every_way_to_import_gives_the_local_functions() -> None:
    with mock() as ellipsis:
        import ellipsis as imported
        import ellipsis.path.raster.timestamp.file as deep
        from ellipsis import path
        from ellipsis.account import logIn
        from ellipsis.path.raster.timestamp import getBounds

        assert imported is ellipsis is importlib.import_module("ellipsis")
        assert imported.path is path is sys.modules["ellipsis.path"]
        assert deep.add is ellipsis.path.raster.timestamp.file.add
        assert getBounds is path.raster.timestamp.getBounds
        token = logIn("ada", "secret")
        made = path.raster.add("dem", token)["id"]
        assert path.get(made, token)["name"] == ellipsis_local.path.get(made, token)["name"] == "dem"
        assert ellipsis.compute.listComputes(token)["result"] == []
        assert callable(ellipsis.util.saveRaster)
        assert [one["id"] for one in path.search(text="dem", token=token)["result"]] == [made]
        assert importlib.import_module("ellipsis.compute.root").getComputeInfo is ellipsis.compute.getComputeInfo
        assert importlib.util.find_spec("ellipsis") is not None


@needs_no_client
def test_what_is_not_there_says_so() -> None:
    with mock() as ellipsis:
        with pytest.raises(AttributeError, match=r"'ellipsis.path' has no attribute 'tag': .* client is not installed"):
            ellipsis.path.tag  # noqa: B018
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("ellipsis.path.tag")
        with pytest.raises(NotEmulatedError, match="pip install ellipsis"):
            ellipsis.util.plotRaster(None)
        with pytest.raises(NotEmulatedError, match="use account.logIn"):
            ellipsis.account.browserLogin()
        assert not hasattr(ellipsis, "__wrapped__")


@needs_no_client
def test_sys_modules_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(sys.modules)
    with mock():
        assert "ellipsis.compute" in sys.modules
    assert sys.modules == before
    monkeypatch.setitem(sys.modules, "ellipsis", None)
    with mock():
        import ellipsis

        assert ellipsis.compute
    assert sys.modules["ellipsis"] is None


@needs_no_client
def test_what_a_module_imported_works_in_the_next_mock_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "held_by_user.py").write_text(
        textwrap.dedent(
            """
            import functools
            import ellipsis as el
            from ellipsis.account import getInfo, logIn as log_in
            held = {"in": log_in, "part": functools.partial(log_in, password="secret")}
            def default(token, info=getInfo):
                return info(token)["username"]
            """
        )
    )
    sys.path.insert(0, str(tmp_path))
    try:
        with mock():
            user = importlib.import_module("held_by_user")
            assert user.default(user.held["in"]("ada", "secret")) == "ada"
        for call in (functools.partial(user.log_in, "ada", "secret"), lambda: user.el.path.get("x")):
            with pytest.raises(MockError, match=r"ellipsis\.(account\.logIn|path\.get) was imported inside"):
                call()
        with mock(), mock() as ellipsis:
            assert user.default(user.held["part"]("eve")) == "eve"
            assert ellipsis is user.el
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("held_by_user", None)


@needs_no_client
def test_a_folder_of_that_name_is_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ellipsis" / "compute").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with mock() as ellipsis:
        assert ellipsis.compute.listComputes("invented")["result"] == []


def test_a_module_that_is_not_the_client_is_not_shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ellipsis.py").write_text("mine = True\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "ellipsis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MockError, match=r"ellipsis\.py\) is not the client of Ellipsis Drive"), mock():
        pytest.fail("entered")
    assert not scopes.in_scope()
    assert importlib.import_module("ellipsis").mine
    del sys.modules["ellipsis"]


# ----- homes and settings ----------------------------------------------------------------------------------------------


def test_each_entry_has_a_fresh_home_that_vanishes(outside: Path) -> None:
    double, homes = mock(), []
    for _ in range(2):
        with double as ellipsis:
            token = ellipsis.account.logIn("ada", "secret")
            assert ellipsis_local.layers.list() == []
            ellipsis.path.folder.add("results", token)
            homes.append(double.home)
            assert (double.home / "ellipsis.sqlite").is_file()
    assert len({outside, *homes}) == 3
    assert not any(home.exists() for home in homes)
    assert not (outside / "ellipsis.sqlite").exists()


def test_a_given_home_is_kept_with_its_settings(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "settings.toml").write_text("max_nodes = 7\ncores = 1\n")
    with mock(home=folder, cores=2) as ellipsis:
        token = ellipsis.account.logIn("ada", "secret")
        made = ellipsis.path.folder.add("results", token)["id"]
        assert ellipsis.account.getInfo(token)["plan"]["maxComputeNodes"] == 7
        assert ellipsis_local.emulator.current_settings().cores == 2
    with mock(home=str(folder)) as ellipsis:
        assert ellipsis.path.get(made, token)["name"] == "results"


def test_a_home_that_cannot_be_used_is_an_error_before_anything_has_changed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="ellipsis_local.mock: home is a file"):
        mock(home=tmp_path / "file")
    late = mock(home=tmp_path / "late")
    (tmp_path / "late").write_text("")
    with pytest.raises((SettingsError, StoreError), match="late"), late:
        pytest.fail("entered")
    assert not scopes.in_scope()


def test_variables_of_the_user_do_not_reach_in(monkeypatch: pytest.MonkeyPatch, outside: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("ELLIPSIS_LOCAL_MAX_NODES", "3")
    monkeypatch.setenv("ELLIPSIS_LOCAL_STRICT", "no such value")
    monkeypatch.setenv("ELLIPSIS_LOCAL_HOME", str(tmp_path / "elsewhere"))
    environ = dict(os.environ)
    with mock(strict=True):
        settings = ellipsis_local.emulator.current_settings()
        assert (settings.max_nodes, settings.strict, settings.progress) == (64, True, False)
        assert settings.home not in (outside, tmp_path / "elsewhere")
    assert dict(os.environ) == environ


def test_environments_are_those_of_the_home_outside(shared_environments: Path, tmp_path: Path) -> None:
    with mock():
        assert ellipsis_local.emulator.current_settings().environments == shared_environments
    ellipsis_local.emulator.use(ellipsis_local.Emulator(Settings(home=tmp_path / "used", progress=False)))
    with mock():
        assert ellipsis_local.emulator.current_settings().environments == tmp_path / "used"
        with mock(environments=tmp_path / "own"):
            assert ellipsis_local.emulator.current_settings().environments == tmp_path / "own"
            with mock():
                assert ellipsis_local.emulator.current_settings().environments == tmp_path / "own"


def test_configure_inside_is_for_this_mock_only(outside: Path) -> None:
    with mock(max_nodes=5) as ellipsis:
        token = ellipsis.account.logIn("ada", "secret")
        with mock():
            ellipsis_local.configure(max_nodes=2)
            assert ellipsis.account.getInfo("a token")["plan"]["maxComputeNodes"] == 2
        assert ellipsis.account.getInfo(token)["plan"]["maxComputeNodes"] == 5
        ellipsis_local.configure(max_nodes=6)
        assert ellipsis.account.getInfo(token) == ellipsis_local.account.getInfo(token)
        assert ellipsis.account.getInfo(token)["plan"]["maxComputeNodes"] == 6
    settings = ellipsis_local.emulator.current_settings()
    assert (settings.home, settings.max_nodes) == (outside, 64)


def test_a_compute_from_its_start_to_its_end() -> None:
    def create(ellipsis: ModuleType) -> tuple[str, str]:
        token = ellipsis.account.logIn("ada", "secret")
        model = ellipsis.path.file.add(token, memFile=io.BytesIO(b"weights"), name="model.bin")["id"]
        return ellipsis.compute.createCompute(layers=[], files=[model], token=token, nodes=2)["id"], token

    with mock(inline=True, seed=3) as ellipsis:
        made, token = create(ellipsis)
        assert ellipsis.compute.execute(made, size, token) == [[7], [7]]
        assert ellipsis.compute.getComputeInfo(made, token)["status"] == "completed"
        ellipsis.compute.terminateAll(token)
        assert [one["status"] for one in ellipsis.compute.listComputes(token)["result"]] == ["stopped"]
    with mock(inline=True, seed=3) as ellipsis:
        assert create(ellipsis)[0] == made


def test_layers_are_loaded_at_each_entry(tmp_path: Path) -> None:
    for name in ("wells", "roads"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.geojson").write_text(POINT)
    double = mock(layers=[tmp_path / "wells", str(tmp_path / "roads")])
    for _ in range(2):
        with double:
            assert sorted(one["name"] for one in ellipsis_local.layers.list()) == ["roads.geojson", "wells.geojson"]
            assert {one["pathId"] for one in double.layers.values()} == {
                one["id"] for one in ellipsis_local.layers.list()
            }


def test_a_layer_that_cannot_be_loaded_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "layers"
    folder.mkdir()
    (folder / "broken.tif").write_bytes(b"II*\0nothing")
    double, before = mock(layers=folder), dict(sys.modules)
    with pytest.raises(EllipsisLocalError, match=r"broken\.tif"), double:
        pytest.fail("entered")
    assert not scopes.in_scope()
    assert {name for name in sys.modules if name.partition(".")[0] == "ellipsis"} == {
        name for name in before if name.partition(".")[0] == "ellipsis"
    }
    with pytest.raises(MockError, match="not active"):
        double.home  # noqa: B018


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"corse": 2}, SettingsError, r"ellipsis_local\.mock: there is no setting 'corse'; there are home, crs"),
        ({"cores": 0}, SettingsError, r"ellipsis_local\.mock: cores must be at least 1"),
        ({"seed": "x"}, SettingsError, "seed must be of type int"),
        ({"clock": "noon"}, SettingsError, "clock must be a time with its zone"),
        ({"strict": "perhaps"}, SettingsError, "strict must be true, false or 'service'"),
        ({"inline": True, "node_timeout": 5}, SettingsError, "node_timeout cannot be kept with inline=True"),
        ({"home": 5}, SettingsError, r"ellipsis_local\.mock: home must be the path of a folder, not 5"),
        ({"home": ""}, SettingsError, "home must be the path of a folder"),
        ({"layers": 5}, ArgumentError, "layers must be a folder or a list of folders, not 5"),
        ({"layers": ["no such folder"]}, ArgumentError, "layers must name folders, and 'no such folder' is none"),
        ({"layers": [None]}, ArgumentError, "layers must name folders"),
        ({"layers": __file__}, ArgumentError, r"layers must name folders, and '.*test_mock\.py' is none"),
    ],
)
def test_bad_settings_are_told_where_they_are_given(given: dict, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        mock(**given)
    assert not scopes.in_scope()


# ----- entering and leaving --------------------------------------------------------------------------------------------


def test_an_exception_leaves_everything_as_it_was(outside: Path) -> None:
    double = mock()
    with pytest.raises(RuntimeError, match="mine"), double as ellipsis:
        ellipsis.account.logIn("ada", "secret")
        home = double.home
        raise RuntimeError("mine")
    assert not home.exists()
    assert not scopes.in_scope()
    assert ellipsis_local.emulator.current_settings().home == outside


def test_stop_needs_a_start() -> None:
    double = mock()
    with pytest.raises(MockError, match="stop needs a start"):
        double.stop()
    ellipsis = double.start()
    first = double.home
    assert double.start() is ellipsis
    assert double.home != first
    double.stop()
    assert double.home == first
    double.stop()
    with pytest.raises(MockError, match="stop needs a start"):
        double.stop()
    assert not first.exists()


def test_an_inner_mock_has_its_own_home() -> None:
    with mock() as outer:
        token = outer.account.logIn("ada", "secret")
        made = outer.path.folder.add("results", token)["id"]
        with mock() as inner:
            assert inner is outer
            with pytest.raises(NotFoundError):
                inner.path.get(made, token)
            assert inner.account.getInfo(token)["username"] != "ada"
        assert outer.path.get(made, token)["name"] == "results"


def test_mocks_may_be_left_in_any_order() -> None:
    first, second = mock(), mock()
    ellipsis = first.start()
    home = first.home
    second.start()
    first.stop()
    assert not home.exists()
    assert ellipsis_local.emulator.current_settings().home == second.home
    ellipsis.account.logIn("ada", "secret")
    second.stop()
    assert not scopes.in_scope()


def test_a_mock_that_was_left_in_another_context_is_over(outside: Path) -> None:
    double, context = mock(), contextvars.copy_context()
    context.run(double.start)
    inside = double.home
    assert ellipsis_local.emulator.current_settings().home == inside
    double.stop()
    assert context.run(ellipsis_local.emulator.current_settings).home == outside
    assert ellipsis_local.emulator.current_settings().home == outside


def test_threads_have_their_own() -> None:
    both, found, errors = threading.Barrier(2, timeout=20), {}, []

    def work(name: str) -> None:
        try:
            with mock() as ellipsis:
                both.wait()
                token = ellipsis.account.logIn(name, "secret")
                ellipsis.path.folder.add(name, token)
                both.wait()
                found[name] = [one["name"] for one in ellipsis_local.layers.list()]
                both.wait()
        except BaseException as error:
            errors.append(error)
            both.abort()
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ada", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert found == {"ada": ["ada"], "eve": ["eve"]}
    assert not scopes.in_scope()


def test_a_thread_that_was_started_inside_shares_the_mock() -> None:
    found = []
    with mock() as ellipsis:
        token = ellipsis.account.logIn("ada", "secret")
        thread = threading.Thread(target=lambda: found.append(ellipsis.account.getInfo(token)["username"]))
        thread.start()
        thread.join()
    assert found == ["ada"]


def test_a_call_that_comes_too_late_makes_no_new_home() -> None:
    double = mock()
    with double:
        scope, home = scopes.current_scope(), double.home
    with pytest.raises(MockError, match="left meanwhile"):
        ellipsis_local.emulator.emulator_of(scope)
    assert not home.exists()


def test_one_object_in_many_threads() -> None:
    double, homes = mock(), set()
    both = threading.Barrier(3, timeout=20)

    def work() -> None:
        with double:
            both.wait()
            homes.add(double.home)
            both.wait()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(homes) == 3
    assert not any(home.exists() for home in homes)


def test_processes_import_nothing_heavy_fork_and_end_cleanly(outside: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os, pathlib, sys
            import ellipsis_local, ellipsis_local.compute, ellipsis_local.path, ellipsis_local.account
            ellipsis_local.configure(home={str(outside)!r}, progress=False)
            before = set(sys.modules)
            double = ellipsis_local.mock()
            with double:
                pass
            heavy = {{"fastapi", "uvicorn", "geopandas", "pandas", "rasterio", "numpy", "shapely", "asyncio"}}
            if "ellipsis" not in sys.modules:
                assert not heavy & (set(sys.modules) - before), heavy & (set(sys.modules) - before)
            with double as ellipsis:
                token = ellipsis.account.logIn("ada", "secret")
                home = double.home
                child = os.fork()
                if child == 0:
                    ellipsis.path.folder.add("of the child", token)
                else:
                    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                    assert home.is_dir(), "the child removed its parent's home"
                    assert [one["name"] for one in ellipsis_local.layers.list()] == ["of the child"]
            if child == 0:
                assert home.is_dir()
                os._exit(0)
            assert not home.exists()
            double.start()
            print(double.home)
            """
        )
    )
    # Libraries of the client start threads, beside which a fork is warned of.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not Path(done.stdout.strip()).exists()


# ----- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", HOSTED)
def test_tokens_of_the_service_are_refused_and_not_shown(token: str, outside: Path) -> None:
    with mock() as ellipsis:
        for call in (
            lambda: ellipsis.account.getInfo(token),
            lambda: ellipsis.path.folder.add("results", token),
            lambda: ellipsis.compute.terminateAll(token),
            lambda: ellipsis_local.compute.listComputes(token),
        ):
            with pytest.raises(AccountError, match="token looks like one of the hosted service") as caught:
                call()
            assert token[-12:] not in str(caught.value)
        ellipsis_local.emulator.current_emulator().reopen()
        with pytest.raises(AccountError, match="token looks like"):
            ellipsis.account.getInfo(token)
    # Outside of mocks it stands for a user of its own.
    assert ellipsis_local.account.getInfo(token)["username"].startswith("token-")


def test_other_texts_and_registered_tokens_are_taken() -> None:
    with mock() as ellipsis:
        assert ellipsis.account.getInfo("my token of no service")["username"].startswith("token-")
        accounts = ellipsis_local.emulator.current_emulator().accounts
        accounts.add_user("ada", "secret", token=HOSTED[0])
        assert ellipsis.account.getInfo(HOSTED[0])["username"] == "ada"


def test_servers_know_adopted_tokens_as_the_functions_do() -> None:
    with mock() as ellipsis:
        accounts = ellipsis_local.emulator.current_emulator().accounts
        with pytest.raises(AccountError):
            accounts.known_user("invented")
        mine = ellipsis.account.getInfo("invented")["id"]
        assert accounts.adopt("Bearer invented").id == accounts.adopt("invented").id == mine
        assert accounts.known_user("invented").id == mine == ellipsis.account.getInfo("invented")["id"]
        with pytest.raises(AccountError, match="not the password"):
            accounts.log_in(accounts.known_user("invented").name, "secret")


def test_nothing_is_installed_afterwards() -> None:
    with mock(), mock():
        assert activation._users == 2
    assert activation._users == 0
