"""Make a virtualenv and fill it: the commands, their environment variables, and what their failures mean.

The program that resolves and installs is `uv`; where it is missing, virtualenv's own `pip`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ellipsis_local.clocks import is_stopped
from ellipsis_local.environments.commands import Commands
from ellipsis_local.environments.interpreters import Interpreter
from ellipsis_local.environments.package_index import uv_environ
from ellipsis_local.errors import EnvironmentBuildError
from ellipsis_local.processes import is_plain_variable, run

ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07)")
TAIL_LINES = 25
LINE_ENDS = 150

# Of the user's variables only those pass that installers and compilers need, because code of packages runs at a build.
# UV_PYTHON, UV_PROJECT, PIP_TARGET, PIP_REQUIRE_VIRTUALENV, … could send the installation elsewhere.
KEPT = re.compile(
    r"UV_(DEFAULT_INDEX|EXTRA_INDEX_URL|INDEX.*|FIND_LINKS|NO_INDEX|OFFLINE|CACHE_DIR|NO_CACHE|LINK_MODE|CONFIG_FILE"
    r"|KEYRING_PROVIDER|CREDENTIALS_DIR|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|HTTP_.*|REQUEST_TIMEOUT|CONCURRENT_.*"
    r"|EXCLUDE_NEWER|TORCH_BACKEND)"
    r"|PIP_(INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|TRUSTED_HOST|CERT|CLIENT_CERT|PROXY|CACHE_DIR|NO_CACHE_DIR"
    r"|RETRIES|TIMEOUT|DEFAULT_TIMEOUT|CONFIG_FILE|KEYRING_PROVIDER|DISABLE_PIP_VERSION_CHECK)"
)
COMPILERS = re.compile(
    r"CC|CXX|CPP|FC|F77|F90|LD|AR|AS|NM|RANLIB|STRIP|SDKROOT|DEVELOPER_DIR|MACOSX_DEPLOYMENT_TARGET"
    r"|[A-Z]*FLAGS|LDSHARED|LIBS|LIBRARY_PATH|CPATH|(C|CPLUS|OBJC)_INCLUDE_PATH|PKG_CONFIG(_.*)?|SOURCE_DATE_EPOCH"
    r"|CMAKE_(GENERATOR|PREFIX_PATH|TOOLCHAIN_FILE|ARGS|BUILD_PARALLEL_LEVEL)|CUDA_(HOME|PATH)|SETUPTOOLS_.*"
    r"|CARGO_HOME|RUSTUP_(HOME|TOOLCHAIN)"
    r"|(GDAL|GEOS|PROJ|HDF5|NETCDF4?|OPENSSL|BOOST|BLAS|LAPACK)_(CONFIG|DIR|ROOT|PREFIX|VERSION|INCLUDEDIR|LIBDIR)"
    r"|XDG_.*|SSL_CLIENT_CERT|NETRC|GIT_(SSH|SSH_COMMAND|SSL_.*)|SSH_AUTH_SOCK|DBUS_SESSION_BUS_ADDRESS"
)
"""XDG_.* and the following are for the installers: their files, their certificates, git and the key ring."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended; its output without colours."""

    command: tuple[str, ...]
    exit_code: int
    output: str


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Of `environ` what nodes see, too, and what says where packages come from, how they travel and are compiled."""
    return {
        name: value
        for name, value in environ.items()
        if is_plain_variable(name) or KEPT.fullmatch(name) or COMPILERS.fullmatch(name)
    }


def is_offline(offline: bool | None, environ: Mapping[str, str]) -> bool:
    """Whether the index must not be asked: by the setting, or by uv's own variable."""
    return offline is True or environ.get("UV_OFFLINE", "").lower() in ("1", "true", "yes", "on", "y", "t")


def find_uv(environ: Mapping[str, str]) -> str | None:
    """The uv that was installed with this package, else the one on PATH, else None."""
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv", path=environ.get("PATH", ""))


def can_keep_packages(environ: Mapping[str, str]) -> bool:
    """Whether uv's cache can be written, as far as variables say where it is."""
    user = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - which fails without a home
    cache = Path(environ.get("UV_CACHE_DIR") or Path(environ.get("XDG_CACHE_HOME") or Path(user, ".cache"), "uv"))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return True
    except OSError:
        return False


def make_virtualenv(folder: Path, interpreter: Interpreter, data: Path, environ: Mapping[str, str]) -> None:
    """An environment with pip alone, as a function may call it; no network, no user configuration."""
    # virtualenv takes a quarter of a second to import, and is needed for a first build only
    from virtualenv import cli_run

    command = [str(folder), "--python", str(interpreter.executable), "--app-data", str(data)]
    command += ["--no-periodic-update", "--no-download", "--activators", "", "--no-setuptools"]
    # called in this process: half a second faster than a command, and it logs nothing unless asked to
    own = {**child_environ(environ), "VIRTUALENV_CONFIG_FILE": os.devnull}
    try:
        if is_stopped():
            # It would wait by the clock of a test.
            _run_virtualenv(command, own)
        else:
            cli_run(command, setup_logging=False, env=own)
    except (RuntimeError, SystemExit) as error:
        # What it says of its arguments is in what it was handling when it exited.
        said = str(error.__context__ if isinstance(error, SystemExit) and error.__context__ else error)
        raise EnvironmentBuildError(
            f"virtualenv cannot make an environment from {interpreter}: {said}",
            command=("virtualenv", *command),
            output=said,
        ) from error


def _run_virtualenv(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    done = run(
        [sys.executable, "-m", "virtualenv", *arguments],
        env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)


def install(
    python: Path,
    requirements: Path,
    environ: Mapping[str, str],
    uv: str | None,
    options: Sequence[str],
    commands: Commands,
) -> Outcome:
    """Install the file `requirements` into the environment of `python`; never raises for what the command says."""
    if uv is not None:
        command = [uv, "pip", "install", "--python", str(python), "--color", "never", "--no-progress", *options]
    else:
        command = [str(python), "-I", "-m", "pip", "install", "--no-compile", "--no-input", "--no-color"]
        command += ["--disable-pip-version-check", "--progress-bar", "off"]
        command += ["--no-index"] if "--offline" in options else []
    command += ["-r", str(requirements)]
    # PIP_USER overrides a pip.conf that says `user = true`; uv must not fetch a Python of its own
    own = {
        **child_environ(environ if uv is None else uv_environ(environ)),
        "UV_PYTHON_DOWNLOADS": "never",
        "PIP_USER": "0",
    }
    # the root: uv reads the settings of the project in whose folder it runs
    done = commands.run(command, env=own, cwd=python.anchor, stderr=subprocess.STDOUT)
    output = ANSI.sub("", done.stdout.decode("utf-8", "replace")).replace("\r\n", "\n")
    return Outcome(tuple(command), done.returncode, output)


# What uv and pip say, in the order in which it is looked for, and what it means for the caller.
MEANINGS = (
    ("disk", r"No space left on device|Disk quota exceeded", "the disk is full"),
    (
        "offline",
        r"network was disabled|not found in the cache|--offline|network connectivity is disabled",
        "not everything is in the local cache, and offline no index is asked; run `ellipsis-local env prefetch` online",
    ),
    (
        "network",
        "error sending request|dns error|client error|Request failed after|NewConnectionError|timed out",
        "the package index cannot be reached",
    ),
    (
        "wheel",
        r"no wheels with a matching|no usable wheels|no matching wheel|is not a supported wheel",
        "there is no build of a package for this Python on this machine; another interpreter or version may have one",
    ),
    (
        "compile",
        r"Failed to build|build backend returned an error|metadata-generation-failed|Failed building wheel",
        "a package without a ready build could not be compiled here",
    ),
    ("version", r"there (?:is|are) no versions? of|\(from versions: (?!none)", "no such version"),
    (
        "unknown",
        r"not found in the package registry|No matching distribution found|from versions: none",
        "a package does not exist in the index",
    ),
    (
        "conflict",
        r"unsatisfiable|ResolutionImpossible|conflicting dependencies|incompatible",
        "the requirements contradict each other",
    ),
)
SENTENCES = {kind: sentence for kind, _, sentence in MEANINGS}


def explain(outcome: Outcome, *, offline: bool = False) -> tuple[str, str]:
    """What kind of failure it was, and a sentence; the kind is '' where the words are not known."""
    # uv may break its sentences into lines and draw beside them
    text = re.sub(r"[\s│├╰─▶]+", " ", outcome.output)
    for kind, words, sentence in MEANINGS:
        if re.search(words, text):
            # pip does not know that it is offline: to it the package does not exist
            return ("offline", SENTENCES["offline"]) if offline and kind == "unknown" else (kind, sentence)
    return "", f"the installer failed (exit code {outcome.exit_code})"


def tail(output: str) -> str:
    """The end of the installer's own words; a list of a hundred versions keeps its ends, an address no password."""
    lines = [line.rstrip() for line in output.strip().splitlines()]
    kept = [line for line in lines if line and not line.startswith(("Using Python ", "DEBUG ", "WARN ", "TRACE "))]
    short = [f"{line[:LINE_ENDS]} … {line[-LINE_ENDS:]}" if len(line) > 3 * LINE_ENDS else line for line in kept]
    return without_passwords("\n".join(short[-TAIL_LINES:]))


def without_passwords(text: str) -> str:
    """`text` with `user:password@` of addresses blotted out."""
    return re.sub(r"://[^/@\s]+@", "://****@", text)
