"""Settings from three places, each checked where it was set."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import ellipsis_local
from ellipsis_local import scopes
from ellipsis_local.emulator import configure, current_settings
from ellipsis_local.errors import SettingsError
from ellipsis_local.scopes import Scope
from ellipsis_local.settings import Settings, default_home, read_settings, same_service


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings({"home": "/nowhere/to/be/found"}, {})
    assert settings == Settings(home=Path("/nowhere/to/be/found"))
    assert settings.crs == "EPSG:3857"
    assert read_settings({}, {}).home == default_home()


def test_the_later_place_wins(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("cores = 1\nmax_nodes = 5\nstrict = true\n")
    environ = {"ELLIPSIS_LOCAL_HOME": str(tmp_path), "ELLIPSIS_LOCAL_MAX_NODES": "6", "ELLIPSIS_LOCAL_STRICT": "no"}
    assert read_settings({"home": tmp_path / "other"}, environ).home == tmp_path / "other"
    settings = read_settings({"max_nodes": 7}, environ)
    assert (settings.home, settings.cores, settings.max_nodes, settings.strict) == (tmp_path, 1, 7, False)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("node_memory", "500 MB", 500_000_000), ("node_memory", "2 GiB", 2**31), ("node_memory", "1024", 1024),
        ("node_timeout", "1.5", 1.5), ("node_timeout", "none", None), ("offline", "", None), ("offline", "1", True),
        ("crs", "NATIVE", "native"), ("features", "intersecting", "intersecting"), ("overlap", "30", 30.0),
    ],
)  # fmt: skip
def test_texts_of_environment_variables(name: str, text: str, value: object) -> None:
    assert getattr(read_settings({}, {f"ELLIPSIS_LOCAL_{name.upper()}": text}), name) == value


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"nodes": 3}, "there is no setting 'nodes'; there are home, crs"),
        ({"cores": 0}, "cores must be at least 1"),
        ({"cores": 1.5}, "cores must be a whole number"),
        ({"cores": True}, "cores must be of type int"),
        ({"cores": "two"}, "cores must be of type int"),
        ({"max_nodes": -1}, "max_nodes must be at least 0"),
        ({"crs": "EPSG:4326"}, "crs must be one of EPSG:3857, native"),
        ({"features": 1}, "features must be one of once, intersecting"),
        ({"overlap": -1}, "overlap must be at least 0"),
        ({"overlap": float("nan")}, "overlap"),
        ({"node_timeout": 0}, "node_timeout must be above 0"),
        ({"node_timeout": float("inf")}, "node_timeout must be above 0, and finite"),
        ({"node_memory": "2 apples"}, "node_memory must be a number of bytes"),
        ({"strict": "maybe"}, "strict must be true, false or 'service'"),
        ({"strict": None}, "strict must be true, false or 'service'"),
        ({"home": ""}, "home must be the path of a folder"),
        ({"home": __file__}, "home is a file"),
        ({"home": "~nobody-is-called-so/x"}, "home begins with the home of a user whom nobody knows"),
    ],
)
def test_impossible_values(given: dict, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        read_settings(given, {})


def test_the_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ELLIPSIS_LOCAL_CORES: cores must be"):
        read_settings({}, {"ELLIPSIS_LOCAL_CORES": "x"})
    with pytest.raises(SettingsError, match="ELLIPSIS_LOCAL_COLOUR: there is no setting 'colour'"):
        read_settings({}, {"ELLIPSIS_LOCAL_COLOUR": "x"})
    file = tmp_path / "settings.toml"
    for text, problem in (
        ("cores = 0", "settings.toml: cores"),
        ("cores =", "as TOML"),
        ('home = "x"', "cannot be set in a file"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=problem):
            read_settings({"home": tmp_path}, {})


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://api.ellipsis-drive.com/v3", "https://api.ellipsis-drive.com/v3"),
        ("https://API.Ellipsis-Drive.com/v3/", "https://api.ellipsis-drive.com/v3"),
        ("https://example.com", "https://example.com/v3"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v3"),
        ("http://[::1]:8000/other/v3", "http://[::1]:8000/other/v3"),
        (" http://localhost:1/v3 ", "http://localhost:1/v3"),
    ],
)
def test_addresses_of_a_service(given: str, url: str) -> None:
    assert read_settings({"upstream": given}, {}).upstream == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "example.com",
        "http://example.com/v3",
        "http://127.0.0.1.example.com",
        "https://a:b@example.com",
        "https://",
        7,
    ],
)
def test_what_is_no_address_of_a_service(given: object) -> None:
    if given == "":
        assert read_settings({"upstream": given}, {}).upstream is None
        return
    with pytest.raises(SettingsError, match="upstream must be"):
        read_settings({"upstream": given}, {})


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("https://example.com", "https://EXAMPLE.com:443/v3", True),
        ("https://example.com/v2", "https://example.com/v3", True),
        ("https://example.com", "https://example.com:8443", False),
        ("https://example.com", "http://example.com", False),
        ("https://example.com", "https://example.com.evil.org", False),
        ("nonsense", "nonsense", False),
    ],
)
def test_which_addresses_get_the_same_token(url: str, other: str, same: bool) -> None:
    assert same_service(url, other) is same


def test_the_token_is_not_shown() -> None:
    settings = read_settings({}, {"ELLIPSIS_LOCAL_UPSTREAM_TOKEN": "Bearer abc123"})
    assert settings.upstream_token == "abc123"
    assert "abc123" not in repr(settings)
    with pytest.raises(SettingsError, match="upstream_token must be the text") as caught:
        read_settings({"upstream_token": "abc 123"}, {})
    assert "123" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("inline", "yes", True),
        ("seed", "7", 7),
        ("seed", "none", None),
        ("clock", "2025-06-01T12:00:00+02:00", datetime(2025, 6, 1, 10, tzinfo=UTC)),
        ("clock", "2025-06-01T12:00:00Z", datetime(2025, 6, 1, 12, tzinfo=UTC)),
        ("environments", "/shared", Path("/shared")),
        ("scheduler", "tcp://10.0.0.5:8786", "tcp://10.0.0.5:8786"),
        ("scheduler", "none", None),
    ],
)
def test_what_tests_are_run_with(name: str, given: str, value: object) -> None:
    assert getattr(read_settings({}, {f"ELLIPSIS_LOCAL_{name.upper()}": given}), name) == value
    assert getattr(read_settings({name: given}, {}), name) == value


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"clock": "2025-06-01T12:00:00"}, "clock must say its time zone, such as 2025-06-01T12:00:00"),
        ({"clock": datetime(2025, 6, 1)}, "clock must say its time zone"),
        ({"clock": date(2025, 6, 1)}, "clock must say its time zone"),
        ({"clock": "noon"}, "clock must be a time with its zone, .*, not 'noon'"),
        ({"clock": 1.5}, "clock must be a time with its zone"),
        ({"clock": "0001-01-01T00:00:00+12:00"}, "clock must lie in the years 1 to 9999"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be of type int"),
        ({"inline": None}, "inline must be true or false"),
        ({"environments": __file__}, "environments is a file"),
        (
            {"scheduler": "tcp://10.0.0.5:8786", "inline": True},
            "scheduler='tcp://10.0.0.5:8786' does not go with inline",
        ),
        ({"scheduler": "10.0.0.5"}, "scheduler must be the address of a scheduler, such as tcp://10.0.0.5:8786"),
        ({"scheduler": 8786}, "scheduler must be the address"),
        ({"inline": True, "node_timeout": 5}, "node_timeout cannot be kept with inline=True.*leave node_timeout out"),
        ({"inline": True, "node_memory": "1 GB"}, "node_memory cannot be kept with inline=True"),
    ],
)
def test_impossible_values_of_these(given: dict, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        read_settings(given, {})


def test_a_clock_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("clock = 2025-06-01T12:00:00+00:00\nseed = 3\n")
    settings = read_settings({"home": tmp_path}, {})
    assert (settings.clock, settings.seed) == (datetime(2025, 6, 1, 12, tzinfo=UTC), 3)
    (tmp_path / "settings.toml").write_text("clock = 2025-06-01T12:00:00\n")
    with pytest.raises(SettingsError, match="settings.toml: clock must say its time zone"):
        read_settings({"home": tmp_path}, {})


@pytest.mark.parametrize("name", ["home", "environments"])
@pytest.mark.parametrize("way", ["variable", "configure", "mock", "object"])
def test_a_relative_folder_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    scope = Scope({} if name == "home" else {"home": tmp_path / "other"})
    monkeypatch.setattr(scopes, "BASE", scope)
    monkeypatch.chdir(tmp_path / "first")
    for variable in ("ELLIPSIS_LOCAL_HOME", "ELLIPSIS_LOCAL_ENVIRONMENTS"):
        monkeypatch.delenv(variable, raising=False)
    expected = tmp_path / "first" / "mine"
    if way == "variable":
        monkeypatch.setenv(f"ELLIPSIS_LOCAL_{name.upper()}", "./mine")
        assert getattr(current_settings(), name) == expected
    elif way == "configure":
        configure(**{name: "mine"})
    elif way == "mock":
        mock = ellipsis_local.mock(**{name: Path("mine")})
    else:
        settings = Settings(**({"home": tmp_path} | {name: Path("mine")}))
    monkeypatch.chdir(tmp_path / "second")
    if way == "mock":
        with mock:
            assert getattr(current_settings(), name) == expected
    elif way == "object":
        assert getattr(settings, name) == expected
    else:
        configure(max_nodes=3)
        assert getattr(current_settings(), name) == expected
        # A child that begins in another folder finds the same.
        if way == "variable":
            assert os.environ[f"ELLIPSIS_LOCAL_{name.upper()}"] == str(expected)
    assert list((tmp_path / "second").iterdir()) == []


def test_a_relative_folder_in_the_file_is_below_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "settings.toml").write_text('environments = "../shared"\n')
    monkeypatch.chdir(tmp_path)
    assert read_settings({"home": "home"}, {}).environments == tmp_path / "home/../shared"
    (tmp_path / "home" / "settings.toml").write_text('environments = "none"\n')
    assert read_settings({"home": "home"}, {}).environments is None


def test_a_folder_in_which_no_environment_can_be_made(tmp_path: Path) -> None:
    home = tmp_path / "a:b" / "home"
    with pytest.raises(SettingsError, match=r"home must be a folder without ':' .*a:b/home'; choose another"):
        read_settings({"home": home}, {})
    with pytest.raises(SettingsError, match=r"environments must be a folder without ':'"):
        read_settings({"home": tmp_path, "environments": home}, {})
    assert read_settings({"home": home, "environments": tmp_path}, {}).home == home
    assert read_settings({"home": home, "inline": True}, {}).home == home
    assert list(tmp_path.iterdir()) == []
