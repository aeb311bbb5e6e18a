"""What an installer is given, and what its words mean; the words are those of uv and pip."""

import pytest

from ellipsis_local.environments import package_index
from ellipsis_local.environments.installer import Outcome, child_environ, explain, is_offline, tail, without_passwords
from ellipsis_local.environments.package_index import index_of, uv_environ

KEPT = [
    *("PATH", "HOME", "LANG", "TMPDIR", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_INDEX_PRIVATE_PASSWORD", "UV_CACHE_DIR", "UV_OFFLINE"),
    *("UV_HTTP_TIMEOUT", "UV_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_FIND_LINKS"),
    *("CC", "CFLAGS", "LDFLAGS", "PKG_CONFIG_PATH", "GDAL_CONFIG"),
    *("XDG_CONFIG_HOME", "SSL_CLIENT_CERT", "SSH_AUTH_SOCK"),
]
DROPPED = [
    *("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "VIRTUALENV_CONFIG_FILE", "CONDA_PREFIX"),
    *("UV", "UV_PYTHON", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_CONSTRAINT"),
    *("UV_REQUIRE_HASHES", "UV_NO_BUILD", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"),
    *("PIP_CONSTRAINT", "__PYVENV_LAUNCHER__", "MY_VIRTUAL_ENV", "XUV_PYTHON"),
    # Code of packages runs at a build.
    *("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "ELLIPSIS_LOCAL_UPSTREAM_TOKEN", "CARGO_REGISTRY_TOKEN", "DATABASE_URL"),
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


INDEX = "https://me:secret@packages.example/simple"
PLAIN = "index https://packages.example/simple"


@pytest.mark.parametrize(
    ("variables", "config", "expected", "key"),
    [
        ({}, "", {}, []),
        ({"PIP_INDEX_URL": INDEX}, "", {"UV_DEFAULT_INDEX": INDEX}, [PLAIN]),
        ({}, f"[global]\nindex-url = {INDEX}", {"UV_DEFAULT_INDEX": INDEX}, [PLAIN]),
        ({}, f"[global]\nindex-url = x\n[install]\nindex_url = {INDEX}", {"UV_DEFAULT_INDEX": INDEX}, [PLAIN]),
        ({"PIP_INDEX_URL": INDEX}, "[install]\nindex-url = x", {"UV_DEFAULT_INDEX": INDEX}, [PLAIN]),
        (
            {},
            "[global]\nextra-index-url =\n  https://a\n  https://b\nfind-links = /x /y\n",
            {"UV_INDEX": "https://a https://b", "UV_FIND_LINKS": "/x,/y", "UV_INDEX_STRATEGY": "unsafe-best-match"},
            ["extra https://a", "extra https://b", "links /x", "links /y"],
        ),
        ({"PIP_NO_INDEX": "true"}, "", {"UV_NO_INDEX": "1"}, ["no index"]),
        (
            {"PIP_TRUSTED_HOST": "a b:1", "PIP_CERT": "/c.pem", "PIP_PROXY": "p:3128", "HTTPS_PROXY": "http://q"},
            "",
            {"UV_INSECURE_HOST": "a b:1", "SSL_CERT_FILE": "/c.pem", "HTTP_PROXY": "http://p:3128"},
            [],
        ),
        # Where something is set for uv, that counts alone.
        ({"PIP_FIND_LINKS": "/x", "UV_DEFAULT_INDEX": INDEX}, "", {}, [PLAIN]),
        (
            {"PIP_INDEX_URL": INDEX, "PIP_CONFIG_FILE": "/dev/null"},
            "[global]\nno-index = 1",
            {"UV_DEFAULT_INDEX": INDEX},
            [PLAIN],
        ),
    ],
)
def test_what_is_set_for_pip_is_for_uv_too(tmp_path, monkeypatch, variables, config, expected, key):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(config)
    folders = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    given = folders | variables
    monkeypatch.setattr(package_index, "MACHINE_FILES", ())
    assert uv_environ(given) == given | expected
    assert index_of(given, uv=True) == key
    assert "secret" not in str(key)


def test_files_of_uv_come_before_those_of_pip(tmp_path, monkeypatch):
    monkeypatch.setattr(package_index, "MACHINE_FILES", ())
    (tmp_path / "uv.toml").write_text('[[index]]\nurl = "https://u"\ndefault = true\n')
    given = {"HOME": str(tmp_path), "PIP_INDEX_URL": INDEX, "UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    given["PIP_CONFIG_FILE"] = "/dev/null"
    assert uv_environ(given) == given
    assert index_of(given, uv=True) == ["extra index=[{'url': 'https://u', 'default': True}]"]
    assert index_of(given, uv=False) == [PLAIN]
