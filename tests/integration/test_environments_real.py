"""Real builds: virtualenv, uv or pip, and the packages that every environment holds.

Tests of the building itself leave the worker's packages out (`light`), so that they take a fraction of a second.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from virtualenv.seed.wheels.embed import get_embed_wheel

from ellipsis_local.environments import Environments, choose_interpreter, find_interpreters, installer
from ellipsis_local.environments import build as build_module
from ellipsis_local.environments import install_packages as install_module
from ellipsis_local.environments.bytecode import compile_now
from ellipsis_local.environments.commands import GUARD, Commands
from ellipsis_local.errors import EnvironmentBuildError, InterpreterError
from ellipsis_local.home import Home
from tests.processes import command_of, lives

UV = installer.find_uv(os.environ)
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not installed")

# In a process of its own: builds one light environment and prints a line per step, then the key.
CHILD = """
import sys
from pathlib import Path
from ellipsis_local.environments import Environments, build, choose_interpreter, install_packages
from ellipsis_local.home import Home
build.WORKER_REQUIREMENTS = install_packages.WORKER_REQUIREMENTS = ()
home, uv, *requirements = sys.argv[1:]
install_packages.find_uv = lambda environ: uv
home = Home(Path(home))
interpreter = choose_interpreter(f"python3.{sys.version_info[1]}", home)
report = lambda line: print(line, flush=True)
environment = Environments(home, background=False).ensure(interpreter, requirements, report)
print(environment.key, environment.packages)
"""


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory):
    """One home whose complete environments are shared by the tests of this file."""
    home = Home(tmp_path_factory.mktemp("environments"))
    home.prepare()
    return home


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def light(monkeypatch):
    """Without the worker's own packages."""
    for module in (build_module, install_module):
        monkeypatch.setattr(module, "WORKER_REQUIREMENTS", ())


@pytest.fixture(scope="session")
def own(shared_home):
    """An interpreter of the version that runs the tests."""
    return choose_interpreter(f"python3.{sys.version_info[1]}", shared_home)


def run(environment, text, *options, **variables):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables
    command = [environment.python, "-I", *options, "-c", text]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()


def bytecode(environment):
    return len(list(environment.folder.glob("lib/**/*.pyc")))


@pytest.mark.slow
@pytest.mark.parametrize("which", ["running", "oldest"])
def test_complete_environment(shared_home, own, which):
    interpreter = own if which == "running" else find_interpreters(shared_home)[-1]
    if which == "oldest" and interpreter.name == own.name:
        pytest.skip("there is one version only")
    environments = Environments(shared_home, background=False)
    environment = environments.ensure(interpreter)
    assert environments.ensure(interpreter) == environment
    program = """
import json, sys
import cloudpickle, geopandas, multiprocessing_logging, numpy, pyarrow, rasterio, shapely
print(json.dumps([list(sys.version_info[:3]), sys.prefix, sys.base_prefix, numpy.__version__, sys.path]))
"""
    version, prefix, base, numpy, path = json.loads(run(environment, program))
    assert tuple(version) == interpreter.version
    assert (Path(prefix), Path(base)) == (environment.folder, interpreter.prefix)
    assert numpy == environment.packages["numpy"]
    assert "pip" in environment.packages
    inside = [entry for entry in path if "site-packages" in entry]
    assert all(Path(entry).is_relative_to(environment.folder) for entry in inside), (
        "nothing of the system shows through"
    )


@pytest.mark.slow
@needs_uv
def test_users_pin_wins(shared_home, own):
    environment = Environments(shared_home, background=False).ensure(own, ["shapely==2.0.6", "Cloudpickle<3.1"])
    assert environment.packages["shapely"] == "2.0.6"
    assert environment.packages["cloudpickle"] < "3.1"
    assert run(environment, "import shapely; print(shapely.__version__)") == "2.0.6"


@pytest.mark.slow
@needs_uv
def test_offline_with_a_warm_cache(shared_home, home, own):
    complete = Environments(shared_home, background=False).ensure(own)
    unreachable = {"HTTPS_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
    environments = Environments(home, background=False, environ={**os.environ, **unreachable, "UV_OFFLINE": "1"})
    assert environments.ensure(own).packages.keys() == complete.packages.keys()


@needs_uv
def test_offline_with_a_cold_cache(home, own, tmp_path):
    environments = Environments(
        home, offline=True, background=False, environ={**os.environ, "UV_CACHE_DIR": str(tmp_path)}
    )
    with pytest.raises(EnvironmentBuildError, match="ellipsis-local env prefetch") as caught:
        environments.ensure(own)
    assert caught.value.exit_code == 1
    assert "--offline" in caught.value.command
    assert "network was disabled" in caught.value.output
    assert environments.list() == []


@needs_uv
def test_no_network(light, home, own, tmp_path):
    variables = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_CACHE_DIR": str(tmp_path), "UV_HTTP_RETRIES": "0"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("UV_")} | variables
    with pytest.raises(EnvironmentBuildError, match="the package index cannot be reached"):
        Environments(home, background=False, environ=environ).ensure(own, ["click"])


@needs_uv
@pytest.mark.parametrize(
    ("requirements", "meaning", "words"),
    [
        (["no-such-package-of-anyone-0x"], "does not exist in the index", "no-such-package-of-anyone-0x"),
        (["numpy==1.26.4", "numpy==2.0.0"], "contradict each other", "numpy==1.26.4 and numpy==2.0.0"),
        (["click==99"], "no such version", "click==99"),
        (["tensorflow==2.4.0"], "no build of a package for this Python", "tensorflow==2.4.0"),
    ],
)
def test_what_cannot_be_installed(light, home, own, requirements, meaning, words):
    environments = Environments(home, background=False)
    with pytest.raises(EnvironmentBuildError, match=meaning) as caught:
        environments.ensure(own, requirements)
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert list(home.environments.iterdir()) == []


@needs_uv
def test_cached_old_release_is_not_the_answer(light, home, own, tmp_path):
    """Another project's pin fills the cache; an unpinned requirement still gets the newest release."""
    environments = Environments(home, background=False, environ={**os.environ, "UV_CACHE_DIR": str(tmp_path / "cache")})
    assert environments.ensure(own, ["click==8.1.0"]).packages["click"] == "8.1.0"
    assert environments.ensure(own, ["click"]).packages["click"] != "8.1.0"


@needs_uv
def test_settings_of_the_caller_do_not_redirect(light, home, own, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n[tool.uv]\nno-index = true\n')
    monkeypatch.chdir(tmp_path)
    variables = {
        **dict.fromkeys(("VIRTUAL_ENV", "UV_TARGET", "UV_PREFIX", "PIP_TARGET", "CONDA_PREFIX"), str(elsewhere)),
        "UV_PYTHON": "3.99",
        "UV_SYSTEM_PYTHON": "1",
        "PYTHONHOME": str(elsewhere),
        "PYTHONPATH": str(elsewhere),
    }
    environment = Environments(home, background=False, environ={**os.environ, **variables}).ensure(
        own, ["click==8.1.0"]
    )
    assert run(environment, "import click; print(click.__file__)").startswith(str(environment.folder))
    assert not elsewhere.exists()


@pytest.mark.slow
@pytest.mark.parametrize("offline", [None, True])
def test_pip_where_uv_is_missing(light, home, own, monkeypatch, offline):
    monkeypatch.setattr(install_module, "find_uv", lambda _: None)
    environ = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    environments = Environments(home, offline=offline, background=False, environ=environ)
    if offline:
        with pytest.raises(EnvironmentBuildError, match="env prefetch"):
            environments.ensure(own, ["click"])
    else:
        environment = environments.ensure(own, ["click==8.1.0"])
        assert environment.packages["click"] == "8.1.0"
        assert run(environment, "import click; print(click.__file__)").startswith(str(environment.folder))
        with pytest.raises(EnvironmentBuildError, match="does not exist in the index"):
            environments.ensure(own, ["no-such-package-of-anyone-0x"])


SETUP = """
import os, setuptools
with open("recorder.py", "w") as file:
    file.write(f"seen = {dict(os.environ)!r}")
setuptools.setup(name="recorder", version="1", py_modules=["recorder"])
"""
INFO = "Metadata-Version: 2.1\nName: recorder\nVersion: 1\n"


@pytest.fixture
def private_index(tmp_path):
    """The address of an index that has setuptools, and a package that notes what its setup.py sees."""
    package, simple = tmp_path / "recorder-1", tmp_path / "index" / "simple"
    for folder in (package, simple / "recorder", simple / "setuptools"):
        folder.mkdir(parents=True)
    (package / "setup.py").write_text(SETUP)
    (package / "PKG-INFO").write_text(INFO)
    with tarfile.open(simple / "recorder" / "recorder-1.tar.gz", "w:gz") as archive:
        archive.add(package, package.name)
    wheel = get_embed_wheel("setuptools", f"3.{sys.version_info[1]}").path
    shutil.copy(wheel, simple / "setuptools")

    class Quiet(SimpleHTTPRequestHandler):
        log_message = lambda *_: None  # noqa: E731

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(simple.parent))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://user:password@127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


@needs_uv
@pytest.mark.parametrize("where", ["PIP_INDEX_URL", "PIP_CONFIG_FILE"])
def test_a_package_of_a_private_index_is_built_without_secrets(light, home, own, tmp_path, private_index, where):
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = {private_index}\n")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    secrets = {"GITHUB_TOKEN": "hush-1", "AWS_SECRET_ACCESS_KEY": "hush-2", "ELLIPSIS_LOCAL_TOKEN": "hush-3"}
    asked = {where: private_index if where == "PIP_INDEX_URL" else str(config), "UV_CACHE_DIR": str(tmp_path / "uv")}
    environments = Environments(home, background=False, environ=plain | secrets | asked | {"CFLAGS": "-O1"})
    environment = environments.ensure(own, ["recorder"])
    seen = json.loads(run(environment, "import json, recorder; print(json.dumps(recorder.seen))"))
    assert "hush" not in str(seen)
    assert {"PATH", "HOME", "CFLAGS"} <= seen.keys()
    assert environment.key != Environments(home, environ=plain).plan(own, ["recorder"])
    assert "password" not in (environment.folder / "environment.json").read_text()


@needs_uv
def test_local_package_is_installed_anew_when_it_changes(light, home, own, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
        '[project]\nname = "helper"\nversion = "1"\ndescription = "x"\n'
    )
    environments = Environments(home, background=False)
    for answer in ("1", "2"):
        (package / "helper.py").write_text(f"answer = {answer}")
        environment = environments.ensure(own, [f"helper @ file://{package}"])
        assert run(environment, "import helper; print(helper.answer)") == answer


def test_interpreter_removed_afterwards(light, home, own, tmp_path):
    environments = Environments(home, background=False)
    link = tmp_path / "python"
    link.symlink_to(own.executable)
    passing = dataclasses.replace(own, executable=link)
    environment = environments.ensure(passing, ["click"])
    environment.python.unlink()
    environment.python.symlink_to(link)
    assert environments.get(environment.key) is not None
    link.unlink()
    assert environments.get(environment.key) is None
    with pytest.raises(InterpreterError, match="gone"):
        environments.ensure(passing, ["click"])
    link.symlink_to(own.executable)
    assert run(environments.ensure(passing, ["click"]), "import click; print(1)") == "1"


def start(home, uv, *requirements):
    command = [sys.executable, "-c", CHILD, str(home.root), str(uv), *requirements]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@needs_uv
def test_three_processes_build_once(home):
    processes = [start(home, UV, "click") for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum(output.count("making an environment") for output, _ in outputs) == 1
    assert len({output.splitlines()[-1] for output, _ in outputs}) == 1
    assert len(Environments(home).list()) == 1


def slow_uv(folder, before, after):
    """An installer that takes its time, and writes `started` when it is at work."""
    path = folder / "slow-uv"
    path.write_text(f"#!/bin/sh\ntouch '{folder}/started'\n{before}\n'{UV}' \"$@\" || exit\n{after}\n")
    path.chmod(0o755)
    return path


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


@needs_uv
@pytest.mark.parametrize(("before", "after"), [("sleep 2", ""), ("", "sleep 2")])
def test_killed_build(light, home, own, tmp_path, before, after):
    with start(home, slow_uv(tmp_path, before, after), "click") as process:
        wait_for(tmp_path / "started")
        # It is started after what it guards.
        deadline = time.monotonic() + 60
        while not (guards := [one for one in psutil.Process(process.pid).children() if GUARD in command_of(one)]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (guard,) = guards
        guard.kill()
        process.send_signal(signal.SIGKILL)
    environments = Environments(home, background=False)
    key = environments.plan(own, ["click"])
    assert environments.get(key) is None
    assert environments.list() == []
    # the installer outlived its parent and the guard, and still writes
    assert environments.sweep() == ()
    lines = []
    environment = environments.ensure(own, ["click"], lines.append)
    assert any("waiting" in str(line) for line in lines)
    assert run(environment, "import click; print(1)") == "1"
    assert {entry.name for entry in home.environments.iterdir()} == {key}


@needs_uv
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_sweep_after_a_killed_build(home, tmp_path, how):
    with start(home, slow_uv(tmp_path, "sleep 600 & wait", ""), "click") as process:
        wait_for(tmp_path / "started")
        process.send_signal(how)
        process.communicate(timeout=60)
    assert process.returncode == -how
    # Ten minutes earlier than it would by itself.
    deadline = time.monotonic() + 60
    while not (swept := Environments(home).sweep()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(swept) == 1
    assert list(home.environments.iterdir()) == []


@pytest.mark.parametrize("output", ["", ">/dev/null 2>&1"])
def test_what_a_killed_installer_started_ends_with_it(tmp_path, output):
    """Whether it holds the installer's pipes or not."""
    compiler = f"sleep 600.{uuid.uuid4().int % 10**9}"
    done = Commands().run(["/bin/sh", "-c", f"{compiler} {output} & kill -9 $$"])
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while any(" ".join(one.info["cmdline"] or ()) == compiler for one in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@needs_uv
def test_interrupted_build_ends_the_installer(home, tmp_path):
    with start(home, slow_uv(tmp_path, "sleep 600 & wait", ""), "click") as process:
        wait_for(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert list(home.environments.iterdir()) == []
    with Environments(home)._folders.locked("unrelated", timeout=0):
        pass


@needs_uv
def test_interrupt_while_another_process_builds_the_same(home, tmp_path):
    with start(home, slow_uv(tmp_path, "sleep 600 & wait", ""), "click") as builder:
        wait_for(tmp_path / "started")
        with start(home, UV, "click") as waiting:
            assert "waiting for another process" in waiting.stdout.readline()
            waiting.send_signal(signal.SIGINT)
            _, errors = waiting.communicate(timeout=60)
        assert "KeyboardInterrupt" in errors
        assert builder.poll() is None
        builder.send_signal(signal.SIGTERM)


INTERRUPTED = """
import os, signal, sys, threading
from ellipsis_local.environments.commands import Commands
for number in range(30):
    timer = threading.Timer(number * 0.0007, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        Commands().run(["/bin/sh", "-c", f"sleep 600.{sys.argv[1]} & wait"])
    except KeyboardInterrupt:
        pass
    timer.join()
"""


def test_interrupts_at_every_moment_of_a_start_leave_nothing():
    mark = str(uuid.uuid4().int)
    subprocess.run([sys.executable, "-c", INTERRUPTED, mark], check=True, timeout=300)
    deadline = time.monotonic() + 60
    # What was killed may take a moment to be gone.
    while left := [one for one in psutil.process_iter(["cmdline"]) if f"600.{mark}" in str(one.info["cmdline"])]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_interrupt_while_an_interpreter_does_not_answer(home, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for name in ("python3", "python3.12"):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\ntouch '{tmp_path}/started'\nsleep 600 & wait\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with start(home, UV, "click") as process:
        wait_for(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        # Its limit is ten seconds; an answer that does not come in time would be the next one's.
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT


@needs_uv
def test_close_ends_the_builds_of_other_threads(light, home, own, tmp_path, monkeypatch):
    monkeypatch.setattr(install_module, "find_uv", lambda _: str(slow_uv(tmp_path, "sleep 600 & wait", "")))
    environments, waiting = Environments(home, background=False), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(environments.ensure, own, ["click"])]
        wait_for(tmp_path / "started")
        builds.append(pool.submit(environments.ensure, own, ["click"], lambda text: waiting.set()))
        assert waiting.wait(60)
        environments.close()
        for build in builds:
            with pytest.raises(EnvironmentBuildError, match="interrupted or closed"):
                build.result(timeout=60)
    assert list(home.environments.iterdir()) == []


JOB = """
import sys, time
import numpy as np
from affine import Affine
import ellipsis_local as el
el.configure(home=sys.argv[1], progress=False)
token = el.account.logIn("demo_user", "demo_user")
layer = {"raster": np.ones((1, 4, 6), "uint8"), "transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}
wait = sys.argv[4] == "wait"
el.compute.createCompute(layers=[el.layers.add(layer)], token=token, nodes=1, interpreter=sys.argv[2],
                         requirements=[f"slow @ file://{sys.argv[3]}"], awaitTillStarted=wait)
time.sleep(600)
"""
BACKEND = """
import os, pathlib, time
def build_wheel(*_, **__):
    pathlib.Path(__file__).with_name("started").write_text(str(os.getpid()))
    time.sleep(600)
prepare_metadata_for_build_wheel = get_requires_for_build_wheel = build_sdist = build_wheel
"""


@needs_uv
@pytest.mark.parametrize(("how", "wait"), [(signal.SIGINT, "wait"), (signal.SIGINT, "poll"), (signal.SIGTERM, "wait")])
def test_interrupted_create_compute_ends_what_it_started(tmp_path, how, wait):
    """To the process alone, as an editor or a supervisor does; a build that takes ten minutes goes on beside the cut."""
    package = tmp_path / "slow"
    package.mkdir()
    (package / "backend.py").write_text(BACKEND)
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1"\n'
    )
    interpreter = f"python3.{sys.version_info[1]}"
    command = [sys.executable, "-c", JOB, str(tmp_path / "home"), interpreter, str(package), wait]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(package / "started")
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == -how, errors
    assert ("KeyboardInterrupt" in errors) == (how == signal.SIGINT)
    # Its orphans are waited for by others.
    deadline = time.monotonic() + 60
    while alive := [one for one in started if lives(one)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.02)
    assert len(started) >= 3
    home = Home(tmp_path / "home")
    assert Environments(home).list() == []
    # What it started last, after we looked, may end a moment later, and holds the folder until then.
    while left := list(home.environments.iterdir()):
        Environments(home).sweep()
        assert time.monotonic() < deadline, left


@needs_uv
def test_bytecode_in_the_background(light, home, own):
    environments = Environments(home)
    environment = environments.ensure(own, ["click"])
    environments.wait(60)
    assert bytecode(environment) > 10
    # a second object, or a second call, starts nothing
    assert not environments._compilations._running


@needs_uv
def test_prefetch_compiles_and_works_for_what_is_ready(light, home, own):
    environments = Environments(home, background=False)
    environment = environments.ensure(own, ["click"])
    assert bytecode(environment) == 0
    assert environments.prefetch(own, ["click"]) == environment
    assert bytecode(environment) > 10
    assert environments.prefetch(own, ["click==8.1.0"]).packages["click"] == "8.1.0"


@pytest.mark.slow
@needs_uv
def test_removal_while_bytecode_is_compiled(home, own):
    environments = Environments(home)
    environment = environments.ensure(own)
    assert environments._compilations._running, "it takes seconds"
    assert [info.key for info in environments.prune()] == [environment.key]
    environments.wait(60)
    assert not environments._compilations._running
    environments.sweep()
    assert list(home.environments.iterdir()) == []


@pytest.mark.slow
@needs_uv
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_helper_holds_nothing_of_the_caller(home, own):
    environments = Environments(home)
    environments.ensure(own)
    (process,) = environments._compilations._running
    opened = {name: str(Path(f"/proc/{process.pid}/fd/{name}").readlink()) for name in "012"}
    assert set(opened.values()) == {"/dev/null"}
    assert os.getsid(process.pid) == process.pid
    assert Path(f"/proc/{process.pid}/cwd").readlink() == Path("/")
    environments.close()
    assert process.returncode == -signal.SIGKILL


def test_file_that_does_not_compile_is_left(light, home, own):
    environment = Environments(home, background=False).ensure(own, ["click"])
    site = next(environment.folder.glob("lib/*/site-packages"))
    (site / "broken.py").write_text("def (:\n")
    (site / "also").mkdir()
    (site / "also/broken.py").write_bytes(b"\xff\xfe")
    compile_now(environment, dict(os.environ))
    assert bytecode(environment) > 10


@needs_uv
def test_home_that_cannot_be_written(light, home, own):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    home.environments.chmod(0o500)
    try:
        with pytest.raises(EnvironmentBuildError, match="cannot be written"):
            Environments(home, background=False).ensure(own, ["click"])
    finally:
        home.environments.chmod(0o700)


@needs_uv
@pytest.mark.parametrize("variables", [{}, {"XDG_CACHE_HOME": "FILE"}, {"UV_CACHE_DIR": "FILE/cache"}])
def test_nothing_is_kept_in_a_home_folder_that_cannot_be_written(light, home, own, tmp_path, variables):
    # Nobody can make a folder in a file, not even root.
    file = tmp_path / "file"
    file.touch()
    left_out = ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "UV_CACHE_DIR")
    environ = {name: value for name, value in os.environ.items() if name not in left_out} | {"HOME": str(file)}
    environ |= {name: value.replace("FILE", str(file)) for name, value in variables.items()}
    environments = Environments(home, environ=environ, background=False)
    assert environments.choose(own.name).version[:2] == own.version[:2]
    assert run(environments.ensure(own, ["click"]), "import click; print(1)") == "1"
    assert (home.cache / "uv").is_dir()


def test_what_virtualenv_says_of_its_arguments(home, own, tmp_path):
    # Settings refuse such a folder; whoever makes environments of it himself gets the reason.
    with pytest.raises(EnvironmentBuildError, match=r"must not contain the path separator") as caught:
        Environments(Home(tmp_path / "a:b"), background=False).ensure(own)
    assert "path separator" in caught.value.output
    assert list((tmp_path / "a:b/environments").iterdir()) == []


def test_uv_that_crashes(light, home, own, monkeypatch):
    monkeypatch.setattr(install_module, "find_uv", lambda _: shutil.which("false"))
    with pytest.raises(EnvironmentBuildError, match=r"installer failed \(exit code 1\)"):
        Environments(home, background=False).ensure(own, ["click"])
