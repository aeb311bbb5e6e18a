"""The pytest plugin, from outside: small suites that pytest runs, and what becomes of their tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ellipsis_local
from ellipsis_local.node_program.ellipsis_node import block_hosts
from ellipsis_local.pytest_plugin import leaks

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"
RUNNING = f"python3.{sys.version_info[1]}"
DEM = "{'pathId': '559bf6e4-ef58-478a-a305-b0fa9db68ba7', 'timestampId': 'b51d252d-b15a-4b63-9675-9e17ef99ebf5'}"

LAYERS = f"""
import shutil
from pathlib import Path
import pytest

@pytest.fixture
def dem(ellipsis):
    from ellipsis_local import layers
    return layers.add({str(FIXTURES / "dem.tif")!r}, **{DEM})

def size(params):
    (raster,) = params.values()
    return raster['raster'].size

def process(params):
    import os
    return os.getpid()
"""


@pytest.fixture(scope="module")
def _libraries() -> None:
    """pytester forgets modules that a run imports, which these do not survive: import them before."""
    import multiprocessing.popen_spawn_posix
    import multiprocessing.resource_tracker  # noqa: F401

    with ellipsis_local.mock(inline=True) as ellipsis:
        token = ellipsis.account.logIn("ann", "ann")
        layers = [ellipsis_local.layers.add(FIXTURES / name) for name in ("dem.tif", "roads.geojson")]
        compute = ellipsis.compute.createCompute(layers, token, nodes=1)["id"]
        ellipsis.compute.execute(compute, types, token)


def types(params):
    return [type(value).__name__ for value in params.values()]


@pytest.fixture
def suite(
    pytester: pytest.Pytester, shared_environments: Path, monkeypatch: pytest.MonkeyPatch, _libraries: None
) -> pytest.Pytester:
    """A folder for a suite, whose environments are those of this run."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    # Of the plugins only ours, by its entry point: the others that are installed take seconds to import.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p ellipsis_local")
    pytester.makeini(
        f"[pytest]\naddopts = --strict-markers --strict-config -p no:cacheprovider\nellipsis_cores = 2\n"
        f"ellipsis_environments = {shared_environments}\n"
    )
    return pytester


def ran(suite: pytest.Pytester, text: str, *arguments: str, **expected: int) -> pytest.RunResult:
    """Run one file of tests in this process and hold its outcomes against those expected."""
    suite.makepyfile(LAYERS + text)
    result = suite.runpytest_inprocess(*arguments)
    result.assert_outcomes(**expected)
    return result


def test_each_test_has_a_home_of_its_own(suite: pytest.Pytester) -> None:
    ran(
        suite,
        """
        homes = []

        @pytest.mark.parametrize("number", [1, 2])
        def test_home(ellipsis, ellipsis_home, ellipsis_token, number):
            folder = ellipsis.path.folder.add('mine', ellipsis_token)
            assert ellipsis_home.is_dir()
            assert ellipsis_home not in homes
            assert not any(home.exists() for home in homes)
            homes.append(ellipsis_home)

        def test_the_former_are_gone():
            assert len(homes) == 2
            assert not any(home.exists() for home in homes)
        """.replace("\n        ", "\n"),
        passed=3,
    )


def test_imports_of_the_package_are_the_local_ones(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        job=f"""
        import ellipsis as el
        from ellipsis.compute import createCompute, execute

        def job(layer, function, token):
            compute = createCompute([layer], token, nodes=2, interpreter='{RUNNING}')['id']
            try:
                return execute(compute, function, token)
            finally:
                el.compute.terminateCompute(compute, token)
        """
    )
    ran(
        suite,
        """
from job import job

@pytest.mark.ellipsis(inline=True)
def test_inline(dem, ellipsis_token):
    import os
    assert job(dem, process, ellipsis_token) == [os.getpid()] * 2

@pytest.mark.ellipsis(crs='native')
def test_real(dem, ellipsis_token):
    import os
    assert os.getpid() not in job(dem, process, ellipsis_token)
    assert sum(job(dem, size, ellipsis_token)) == 244 * 227

def test_not_without_the_fixture():
    with pytest.raises(Exception, match='the fixture `ellipsis`'):
        job(None, size, 'token')
""",
        passed=3,
    )


def test_options_say_where_nodes_run(suite: pytest.Pytester) -> None:
    text = """
import os

@pytest.mark.parametrize("expected", [WHERE])
class TestWhere:
    def where(self, ellipsis, dem, token):
        compute = ellipsis.compute.createCompute([dem], token, nodes=1, interpreter='RUNNING')['id']
        return ellipsis.compute.execute(compute, process, token) == [os.getpid()]

    def test_unmarked(self, ellipsis, dem, ellipsis_token, expected):
        assert self.where(ellipsis, dem, ellipsis_token) == expected[0]

    @pytest.mark.ellipsis(inline=True)
    def test_marked(self, ellipsis, dem, ellipsis_token, expected):
        assert self.where(ellipsis, dem, ellipsis_token) == expected[1]

    @pytest.mark.ellipsis(inline=False)
    def test_marked_otherwise(self, ellipsis, dem, ellipsis_token, expected):
        assert self.where(ellipsis, dem, ellipsis_token) == expected[2]
""".replace("RUNNING", RUNNING)
    for option, expected in {"marked": (0, 1, 0), "always": (1, 1, 0), "never": (0, 0, 0)}.items():
        ran(suite, text.replace("WHERE", repr(expected)), f"--ellipsis-inline={option}", passed=3)


def test_layers_of_a_folder(suite: pytest.Pytester) -> None:
    folder = suite.mkdir("valley")
    for name in ("dem.tif", "roads.geojson"):
        (folder / name).write_bytes((FIXTURES / name).read_bytes())
    text = """
seen = []

@pytest.mark.parametrize("number", [1, 2])
def test_layers(ellipsis, ellipsis_layers, ellipsis_token, number):
    assert set(ellipsis_layers) == {'dem.tif', 'roads.geojson'}
    layer = ellipsis.path.get(ellipsis_layers['dem.tif']['pathId'], ellipsis_token)
    assert layer['raster']['timestamps'][0]['id'] == ellipsis_layers['dem.tif']['timestampId']
    seen.append(ellipsis_layers)
    assert seen[0] == ellipsis_layers
    # What one test does to its layers, the next does not see.
    from ellipsis_local import layers
    layers.remove(ellipsis_layers['dem.tif']['pathId'])
"""
    ran(suite, "\npytestmark = pytest.mark.ellipsis(layers='valley')\n" + text, passed=2)
    ran(suite, text, "-o", "ellipsis_layers=valley", passed=2)
    result = ran(suite, text, errors=2)
    result.stdout.fnmatch_lines(["*name one with the ini option ellipsis_layers*"])
    result = ran(suite, text, "-o", "ellipsis_layers=nowhere", errors=2)
    result.stdout.fnmatch_lines(["*nowhere*"])


def test_the_marker_alone_mocks(suite: pytest.Pytester) -> None:
    ran(
        suite,
        """
@pytest.mark.ellipsis(seed=7, clock='2025-06-01T12:00:00Z')
def test_marked():
    import ellipsis
    token = ellipsis.account.logIn('ann', 'secret words')
    first = ellipsis.path.folder.add('a', token)['id']
    from ellipsis_local import mock
    with mock(seed=7) as again:
        token = again.account.logIn('ann', 'secret words')
        assert again.path.folder.add('a', token)['id'] == first
""",
        passed=1,
    )


def test_strict_refuses_what_the_service_would_not_run(suite: pytest.Pytester) -> None:
    text = """
FACTOR = 2

def uses_the_module(params):
    return FACTOR

@pytest.mark.ellipsis(inline=True)
def test_it(ellipsis, dem, ellipsis_token):
    compute = ellipsis.compute.createCompute([dem], ellipsis_token, nodes=1)['id']
    assert ellipsis.compute.execute(compute, uses_the_module, ellipsis_token) == [2]
"""
    ran(suite, text, "-W", "ignore", passed=1)
    result = ran(suite, text, "--ellipsis-strict", failed=1)
    result.stdout.fnmatch_lines(["*uses_the_module*FACTOR*"])


def test_all_of_a_run_can_be_as_the_service_does(suite: pytest.Pytester) -> None:
    """A job that counts on one result per node passes with exact partitions, and not with the service's shards."""
    text = """
def one(params):
    return 1

@pytest.mark.ellipsis(inline=True, shard_size=1000)
def test_it(ellipsis, dem, ellipsis_token):
    compute = ellipsis.compute.createCompute([dem], ellipsis_token, nodes=3)['id']
    assert ellipsis.compute.execute(compute, one, ellipsis_token) == [1, 1, 1]
"""
    ran(suite, text, passed=1)
    ran(suite, text, "--ellipsis-as-the-service", failed=1)
    suite.makeini("[pytest]\nellipsis_strict = often\n")
    assert "ellipsis_strict must be true, false or 'service'; not 'often'" in str(suite.runpytest_inprocess().stderr)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("subprocess.Popen(['sleep', '20'])", "process *sleep 20"),
        ("threading.Thread(target=stop.wait, name='forgotten', daemon=True).start()", "thread 'forgotten'"),
        ("kept.append(open(__file__))", "open file *test_leaks*"),
    ],
)
def test_leaks(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str, left: str) -> None:
    """What a test leaves is its error, and not that of the next one."""
    monkeypatch.setattr(leaks, "PATIENCE_SECONDS", 0.1)
    suite.makepyfile(
        test_leaks=f"""
        import subprocess, threading
        import psutil, pytest

        kept = []
        stop = threading.Event()

        def test_leaks(ellipsis):
            {body}

        @pytest.mark.ellipsis(leaks=False)
        def test_may(ellipsis):
            {body}

        def test_next(ellipsis):
            pass

        def test_tidy():
            stop.set()
            for process in psutil.Process().children():
                process.kill()
                process.wait()
            for file in kept:
                file.close()
            for thread in threading.enumerate():
                if thread.name == 'forgotten':
                    thread.join()
        """
    )
    result = suite.runpytest_inprocess("-p", "no:unraisableexception")
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", f"*{left}*"])


LIBRARY = """
import subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context, resource_tracker
from pathlib import Path

class Registry:
    programs = {}

pools = {}
files = []

def start(count):
    pools[count] = [ThreadPoolExecutor(count, 'kept-by-library')]
    pools[count][0].submit(int).result()

def spawn():
    process = get_context('spawn').Process(target=sys.exit)
    Registry.programs['worker'] = subprocess.Popen(['sleep', '600'])
    process.start()
    process.join()

def read():
    files.append((Path(__file__).parent / 'proj.db').open())

def close():
    for (pool,) in pools.values():
        pool.shutdown()
    for file in files:
        file.close()
    for program in Registry.programs.values():
        program.kill()
        program.wait()
    resource_tracker._resource_tracker._stop()
"""


@pytest.mark.parametrize("installed", [True, False], ids=["by an installer, in the project", "a folder on the path"])
def test_what_a_library_keeps_is_no_leak(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, installed: bool
) -> None:
    """And what a test opens is one, whoever holds it."""
    monkeypatch.setattr(leaks, "PATIENCE_SECONDS", 0.1)
    site = suite.mkdir("vendored") if installed else tmp_path_factory.mktemp("site")
    if installed:
        (site / "keeping-1.0.dist-info").mkdir()
    package = site / "keeping"
    package.mkdir()
    (package / "__init__.py").write_text(LIBRARY)
    (package / "proj.db").write_text("data")
    suite.syspathinsert(site)
    suite.makepyfile(
        test_kept="""
        from concurrent.futures import ThreadPoolExecutor
        from pathlib import Path
        import keeping, pytest

        own = []

        @pytest.fixture
        def pool(ellipsis):
            own.append(ThreadPoolExecutor(1, 'own-pool'))
            own[0].submit(int).result()
            return own[0]

        def test_kept(ellipsis):
            keeping.start(2)
            keeping.spawn()
            keeping.read()

        def test_own_pool(pool):
            keeping.start(3)

        def test_own_file(ellipsis):
            own.append(Path(__file__).open())

        def test_tidy():
            keeping.close()
            own[0].shutdown()
            own[1].close()
        """
    )
    result = suite.runpytest_inprocess("-p", "no:unraisableexception")
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_own_pool*", "*thread 'own-pool_0'"])
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_own_file*", "*open file *test_kept.py*"])
    result.stdout.no_fnmatch_line("*kept-by-library*")
    result.stdout.no_fnmatch_line("*sleep 600*")
    result.stdout.no_fnmatch_line("*open file *proj.db*")


@pytest.mark.parametrize("date", ["1970-01-01", "2100-01-01"])
def test_leaks_are_told_under_a_frozen_clock(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, date: str
) -> None:
    monkeypatch.setattr(leaks, "PATIENCE_SECONDS", 0.1)
    suite.makepyfile(
        test_frozen=f"""
        from freezegun import freeze_time
        import pytest

        kept = []

        @pytest.fixture
        def clock():
            with freeze_time({date!r}):
                yield

        # The clock is frozen before the mock is entered, and until the check is over.
        @pytest.mark.usefixtures('clock')
        class TestFrozen:
            def test_leaves(self, clock, ellipsis):
                kept.append(open(__file__))

            def test_leaves_nothing(self, clock, ellipsis):
                pass

        def test_tidy():
            kept[0].close()
        """
    )
    result = suite.runpytest_inprocess("-p", "no:unraisableexception")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of *test_leaves*", "*open file *test_frozen*"])


def test_a_server_for_other_processes(suite: pytest.Pytester) -> None:
    ran(
        suite,
        """
def test_server(ellipsis, ellipsis_server, ellipsis_token):
    import json, urllib.request
    folder = ellipsis.path.folder.add('mine', ellipsis_token)['id']
    request = urllib.request.Request(f'{ellipsis_server}/path/{folder}', headers={'Authorization': f'Bearer {ellipsis_token}'})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)['name'] == 'mine'
""",
        passed=1,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "ellipsis_inline=sometimes"], "*ellipsis_inline must be one of marked, always, never*sometimes*"),
        (["--ellipsis-cores=many"], "*ellipsis_cores must be a whole number from 1 on*many*"),
        (["--ellipsis-seed=-1"], "*ellipsis_seed must be a whole number from 0 on*-1*"),
    ],
)
def test_impossible_options_are_told(suite: pytest.Pytester, arguments: list[str], said: str) -> None:
    suite.makepyfile("def test(ellipsis): pass")
    result = suite.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("True", "*takes names only*"),
        ("home='somewhere'", "*home cannot be set*"),
        ("colour='red'", "*there is no setting 'colour'*"),
        ("clock='2025-06-01'", "*clock*zone*"),
    ],
)
def test_impossible_markers_are_told(suite: pytest.Pytester, marker: str, said: str) -> None:
    suite.makepyfile(f"import pytest\n\n@pytest.mark.ellipsis({marker})\ndef test(): pass")
    result = suite.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])


@pytest.mark.slow
def test_an_environment_is_built_once_per_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """By several processes of pytest-xdist, too; nothing is kept after the run but pytest's own temporary folders."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("ELLIPSIS_LOCAL_HOME", str(pytester.mkdir("own")))
    pytester.makepyfile(
        LAYERS
        + f"""
@pytest.mark.parametrize("number", range(2))
def test_real(ellipsis, dem, ellipsis_token, number):
    compute = ellipsis.compute.createCompute([dem], ellipsis_token, nodes=2, interpreter='{RUNNING}')['id']
    assert len(ellipsis.compute.execute(compute, size, ellipsis_token)) == 2
"""
    )
    base = pytester.path / "temporary"
    result = pytester.runpytest_subprocess(
        "-n2",
        "-p",
        "xdist",
        "-p",
        "ellipsis_local",
        "--ellipsis-environments=session",
        f"--basetemp={base}",
        "-p",
        "no:cacheprovider",
    )
    result.assert_outcomes(passed=2)
    (record,) = base.glob("**/environments/*/environment.json")
    assert json.loads(record.read_text())
    assert not (pytester.path / "own").joinpath("environments").exists()


FORGETS = """
import socket, urllib.request
import pytest, requests

URL = 'https://api.ellipsis-drive.com/v3/account/login?token=secret'

def connect():
    # Without a network, too, this says what was asked for.
    try:
        socket.getaddrinfo('api.ellipsis-drive.com', 443, flags=socket.AI_NUMERICHOST)
    except OSError:
        return 'asked'
"""


def test_a_test_that_forgets_the_fixture_is_told(suite: pytest.Pytester) -> None:
    """By whatever library it asks; a client that tries again after any Exception does not."""
    suite.makepyfile(
        FORGETS
        + """
def careless(call):
    for attempt in range(10):
        try:
            return call()
        except Exception as error:
            assert False, f'was caught: {error!r}'

@pytest.mark.parametrize('call', [
    lambda: requests.post(URL, json={}, timeout=5),
    lambda: urllib.request.urlopen(URL, timeout=5),
    lambda: socket.create_connection(('app.ellipsis-drive.com', 443), timeout=5),
    connect,
], ids=['requests', 'urllib', 'sockets', 'names'])
def test_forgets(call):
    careless(call)

def test_opens_a_page():
    import webbrowser
    webbrowser.open_new_tab('https://app.ellipsis-drive.com/login?application=true')

@pytest.fixture(scope='session')
def account():
    return careless(connect)

def test_uses_a_session_fixture(account):
    pass

@pytest.fixture(scope='module')
def later():
    yield
    careless(connect)

def test_uses_one_that_ends(later):
    pass
"""
    )
    result = suite.runpytest_inprocess("-rN")
    result.assert_outcomes(failed=5, passed=1, errors=2)
    said = (
        "*was about to leave for the hosted service, and no test of this project may reach it*the fixture `ellipsis`*"
    )
    result.stdout.fnmatch_lines(
        ["*_ test_forgets[[]requests] _*", "*POST https://api.ellipsis-drive.com/v3/account/login" + said]
    )
    result.stdout.fnmatch_lines(["*_ test_opens_a_page _*", "*the page https://app.ellipsis-drive.com/login" + said])
    assert len([line for line in result.outlines if line.startswith("E ") and "the fixture `ellipsis`" in line]) == 7
    result.stdout.no_fnmatch_line("*was caught*")
    result.stdout.no_fnmatch_line("E *secret*")


def test_the_import_of_tests_is_guarded(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_at_import=FORGETS + "\nTOKEN = connect()\n\ndef test(): pass\n", test_other="def test(): pass"
    )
    result = suite.runpytest_inprocess("--continue-on-collection-errors")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*ERROR collecting test_at_import.py*", "*the fixture `ellipsis`*"])


GUARDED = (
    FORGETS
    + """
def test_unmarked():
    assert connect() == 'asked'

@pytest.mark.ellipsis(guard=False)
def test_means_the_service():
    assert connect() == 'asked'
    with pytest.raises(Exception, match='outside of any'):
        import ellipsis
        ellipsis.account.logIn('a', 'b')

@pytest.mark.ellipsis(inline=True, guard=False)
class TestMeansTheService:
    def test_a_class(self):
        assert connect() == 'asked'

    @pytest.mark.ellipsis(guard=True)
    def test_but_one(self):
        import ellipsis
        assert ellipsis.account.logIn('a', 'b')

def test_in_the_mock(ellipsis):
    from ellipsis_local.errors import RealServiceError
    with pytest.raises(RealServiceError, match='while ellipsis_local.mock is active'):
        connect()

def test_with_a_mock_of_its_own():
    import ellipsis_local
    with ellipsis_local.mock(), pytest.raises(ellipsis_local.errors.RealServiceError):
        connect()

def test_after_them():
    assert connect() == 'asked'
"""
)


@pytest.mark.parametrize(
    ("ini", "arguments", "guarded"),
    [
        ("", [], False),
        ("ellipsis_seed = 3", [], True),
        ("ellipsis_seed = 3\nellipsis_guard = false", [], False),
        ("ellipsis_seed = 3", ["-o", "ellipsis_guard=no"], False),
        ("", ["-o", "ellipsis_cores=2"], True),
        ("", ["--ellipsis-cores=2"], False),
        ("ellipsis_guard = true", [], True),
    ],
)
@pytest.mark.usefixtures("_libraries")
def test_who_is_guarded(pytester: pytest.Pytester, ini: str, arguments: list[str], guarded: bool) -> None:
    pytester.makeini(f"[pytest]\naddopts = -p no:cacheprovider\n{ini}\n")
    pytester.makepyfile(GUARDED)
    result = pytester.runpytest_inprocess(*arguments)
    result.assert_outcomes(passed=5 if guarded else 7, failed=2 if guarded else 0)
    assert block_hosts.closed_hosts() == ()


def test_the_guard_is_not_lifted_under_a_mock(suite: pytest.Pytester) -> None:
    suite.makepyfile("import pytest\n\n@pytest.mark.ellipsis(guard=False)\ndef test(ellipsis): pass")
    result = suite.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*guard=False of the marker ellipsis is for a test that talks to the service*"])


@pytest.mark.parametrize("inline", [True, False])
def test_nodes_of_a_guarded_test_are_kept_from_the_service(
    suite: pytest.Pytester, el: ModuleType, shared_environments: Path, inline: bool
) -> None:
    el.configure(inline=inline)
    suite.makepyfile(
        LAYERS
        + f"""
def leave(params):
    import socket
    try:
        socket.getaddrinfo('api.ellipsis-drive.com', 443)
    except Exception:
        return 'was caught'

def test_outside_of_a_mock():
    import ellipsis_local as el
    token = el.account.logIn('ann', 'ann')
    layer = el.layers.add({str(FIXTURES / "dem.tif")!r}, **{DEM})
    compute = el.compute.createCompute([layer], token, nodes=1, interpreter='{RUNNING}')['id']
    try:
        el.compute.execute(compute, leave, token)
    finally:
        el.compute.terminateCompute(compute, token)
"""
    )
    result = suite.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *api.ellipsis-drive.com*"])
    result.stdout.no_fnmatch_line("*was caught*")
