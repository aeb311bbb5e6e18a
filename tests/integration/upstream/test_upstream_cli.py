"""`ellipsis-local layers pull`."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from tests.integration.upstream.hosted import TOKEN, Hosted
from tests.integration.upstream.layers import scene


@pytest.fixture
def run(home: Path, el):
    def invoke(*arguments: object, code: int = 0, **environ: str) -> tuple[str, str]:
        answer = CliRunner().invoke(app, ["--home", str(home), "layers", "pull", *map(str, arguments)], env=environ)
        assert answer.exit_code == code, answer.output
        assert TOKEN not in answer.output
        return answer.stdout, answer.stderr

    return invoke


def test_a_layer_with_the_token_from_anywhere(run, hosted: Hosted, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    for arguments, environ in (
        (["--token", TOKEN], {}),
        (["--token-file", file], {}),
        ([], {"ELLIPSIS_LOCAL_UPSTREAM_TOKEN": TOKEN}),
    ):
        path_id, timestamp_id = scene(hosted)
        out, err = run(path_id, "--from", hosted.url, *arguments, **environ)
        assert out.startswith("scene: pulled 1\nfor createCompute:\n")
        assert path_id in out and timestamp_id in out
        assert f"pulled scene {timestamp_id}" in err
    out, _ = run(path_id, timestamp_id, ELLIPSIS_LOCAL_UPSTREAM=hosted.url, ELLIPSIS_LOCAL_UPSTREAM_TOKEN=TOKEN)
    assert "all of it is here already, nothing was changed" in out
    out, _ = run(path_id, "--from", hosted.url, "--token", TOKEN, "--json")
    assert json.loads(out)["unchanged"] == [timestamp_id]


def test_an_extent(run, hosted: Hosted) -> None:
    path_id, _ = scene(hosted)
    extent = [500_101, 5_999_799, 500_310, 5_999_900]
    run(path_id, "--from", hosted.url, "--token", TOKEN, "--extent", *extent, "--epsg", 3857)
    _, err = run(path_id, "--from", hosted.url, "--token", TOKEN, code=1)
    assert "replace" in err
    run(path_id, "--from", hosted.url, "--token", TOKEN, "--replace")


def test_a_folder(run, hosted: Hosted) -> None:
    path_id, _ = scene(hosted)
    hosted.add_timestamp(path_id, status="created")
    folder = hosted.add_folder("all", [path_id, hosted.add_file("a.txt", b"a")])
    out, err = run(folder, "--from", hosted.url, "--token", TOKEN)
    assert out == "all: pulled 2, 1 with nothing to pull\n"
    assert "skipping timestamp" in err


def test_what_goes_wrong_is_code_1(run, hosted: Hosted, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    path_id = str(uuid.uuid4())
    assert "knows no path" in run(path_id, "--from", hosted.url, "--token", TOKEN, code=1)[1]
    assert "holds no token" in run(path_id, "--from", hosted.url, "--token-file", tmp_path / "empty", code=1)[1]
    assert "--insecure" in run(path_id, "--from", "http://example.com", code=1)[1]
    assert "--from" in run(path_id, code=1)[1]
