"""What an installer is given, and what its words mean; the words are those of uv and pip."""

import pytest

from ellipsis_local.environments.installer import Outcome, child_environ, explain, is_offline, tail, without_passwords

KEPT = [
    *("PATH", "HOME", "LANG", "TMPDIR", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_INDEX_PRIVATE_PASSWORD", "UV_CACHE_DIR", "UV_OFFLINE"),
    *("UV_HTTP_TIMEOUT", "UV_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_FIND_LINKS"),
    *("MY_VIRTUAL_ENV", "XUV_PYTHON"),
]
DROPPED = [
    *("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "VIRTUALENV_CONFIG_FILE", "CONDA_PREFIX"),
    *("UV", "UV_PYTHON", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_CONSTRAINT"),
    *("UV_REQUIRE_HASHES", "UV_NO_BUILD", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"),
    *("PIP_CONSTRAINT", "__PYVENV_LAUNCHER__"),
]


def test_child_environ():
    given = dict.fromkeys([*KEPT, *DROPPED], "x")
    assert child_environ(given) == dict.fromkeys(KEPT, "x")
    assert len(given) == len(KEPT) + len(DROPPED), "what was given is not changed"


@pytest.mark.parametrize(
    ("offline", "variable", "expected"),
    [
        (None, None, False),
        (False, None, False),
        (True, None, True),
        (None, "1", True),
        (None, "true", True),
        (None, "0", False),
        (None, "", False),
        (True, "0", True),
    ],
)
def test_is_offline(offline, variable, expected):
    assert is_offline(offline, {} if variable is None else {"UV_OFFLINE": variable}) is expected


WORDS = [
    # uv
    ("Because xyz was not found in the package registry and you require xyz, … are unsatisfiable.", "unknown"),
    (
        "Because xyz was not found in the cache and … hint: Packages were unavailable because the network was disabled",
        "offline",
    ),
    (
        "Because you require numpy==1.26.4 and numpy==2.0.0, we can conclude that your requirements are unsatisfiable.",
        "conflict",
    ),
    (
        "  × No solution\n  ╰─▶ Because you require a==1 and b==2, your requirements are\n      unsatisfiable.",
        "conflict",
    ),
    ("Because there is no version of numpy==99 and you require numpy==99, … are unsatisfiable.", "version"),
    ("  ╰─▶ Because there is no\n      version of numpy==99 and you require numpy==99 …", "version"),
    ("Because tensorflow==2.4.0 has no wheels with a matching Python ABI tag (e.g., `cp312`) …", "wheel"),
    ("error: Failed to build `numpy==1.16.0`\n  cause: The build backend returned an error", "compile"),
    (
        "error: Request failed after 3 retries in 9.1s\n  cause: Failed to fetch\n  cause: error sending request",
        "network",
    ),
    ("error: Failed to fetch\n  cause: client error (Connect)\n  cause: dns error", "network"),
    ("error: failed to copy: No space left on device (os error 28)", "disk"),
    # pip
    (
        "ERROR: Could not find a version that satisfies … xyz (from versions: none)\nNo matching distribution found",
        "unknown",
    ),
    ("ERROR: Could not find … numpy==99 (from versions: 1.3.0, 1.4.1)\nNo matching distribution found", "version"),
    ("ERROR: ResolutionImpossible: for help visit", "conflict"),
    ("WARNING: Retrying … after connection broken by 'NewConnectionError'\nfrom versions: none", "network"),
    ("error: subprocess-exited-with-error … metadata-generation-failed", "compile"),
    # neither
    ("Segmentation fault", ""),
    ("", ""),
]


@pytest.mark.parametrize(("output", "kind"), WORDS)
def test_explain(output, kind):
    found, sentence = explain(Outcome(("uv",), 2, output))
    assert found == kind
    assert sentence == ("the installer failed (exit code 2)" if kind == "" else sentence)


def test_pip_offline_says_unknown_and_means_absent():
    kind, sentence = explain(Outcome(("pip",), 1, "No matching distribution found for flask"), offline=True)
    assert kind == "offline"
    assert "ellipsis-local env prefetch" in sentence


def test_tail_is_the_end_without_chatter_and_passwords():
    output = "\n".join(
        ["Using Python 3.12.1", *map(str, range(100)), "DEBUG x", "see https://me:secret@host/x", "y" * 9000]
    )
    lines = tail(output).splitlines()
    assert len(lines) == 25
    assert lines[0] == "77"
    assert lines[-2] == "see https://****@host/x"
    assert len(lines[-1]) < 400


def test_without_passwords():
    assert without_passwords("p @ git+https://token@h/x@v1") == "p @ git+https://****@h/x@v1"
    assert without_passwords("p @ https://h/x@v1") == "p @ https://h/x@v1"
