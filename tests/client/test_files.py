"""The client's `path.file`: plain files, and objects as files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import requests

from tests.client.covers import covers


@covers("path.file.add", "path.file.download")
def test_a_file_comes_back_as_it_went(client: ModuleType, token: str, other: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "weights ü.bin").write_bytes(content)
    folder = client.path.folder.add("folder", token)["id"]
    made = client.path.file.add(
        token, str(tmp_path / "weights ü.bin"), parentId=folder, metadata={"description": "a model"},
        publicAccess={"accessLevel": 100},
    )["id"]  # fmt: skip
    found = client.path.get(made, token)
    assert (found["type"], found["name"], found["parentId"]) == ("file", "weights ü.bin", folder)
    assert found["metadata"] == {"description": "a model"} and found["file"]["size"] == len(content)
    client.path.file.download(made, str(tmp_path / "back"), token)
    assert (tmp_path / "back").read_bytes() == content
    # Who may only view it may not download it.
    assert client.path.get(made, other)["name"] == "weights ü.bin"
    for who in (other, None):
        with pytest.raises(requests.HTTPError, match="403"):
            client.path.file.download(made, str(tmp_path / "stolen"), who)
    assert not (tmp_path / "stolen").exists()
    client.path.editPublicAccess(made, token, access={"accessLevel": 200})
    client.path.file.download(made, str(tmp_path / "given"))
    assert (tmp_path / "given").read_bytes() == content


def test_the_client_itself_cannot_add_from_memory(client: ModuleType, token: str) -> None:
    """It splits the file's path, which is None; nothing is sent."""
    with pytest.raises(AttributeError):
        client.path.file.add(token, memFile=BytesIO(b"data"), name="data")
    assert client.account.listRoot("myDrive", token)["result"] == []


@covers(
    "path.file.addCsv", "path.file.getCsv", "path.file.addJson", "path.file.getJson",
    "path.file.addPickle", "path.file.getPickle",
)  # fmt: skip
def test_objects_are_kept_as_files(client: ModuleType, token: str) -> None:
    file = client.path.file
    folder = client.path.folder.add("folder", token)["id"]
    frame = pd.DataFrame({"name": ["ä", "b"], "value": [1.5, 2.0]})
    made = file.addCsv(frame, "table.csv", token, parentId=folder)["id"]
    pd.testing.assert_frame_equal(file.getCsv(made, token)[["name", "value"]], frame)
    values = {"numbers": [1, 2.5, None], "text": "ü"}
    made = file.addJson(values, "values.json", token, publicAccess={"accessLevel": 200})["id"]
    assert file.getJson(made, token) == values and file.getJson(made) == values
    made = file.addPickle({"set": {1, 2}, "bytes": b"\0"}, "values.pickle", token, metadata={"license": "CC0"})["id"]
    assert file.getPickle(made, token) == {"set": {1, 2}, "bytes": b"\0"}
    assert client.path.get(made, token)["metadata"] == {"license": "CC0"}
    with pytest.raises(ValueError, match="not a valid pickle"):
        file.getJson(made, token)


def test_names_of_files_never_reach_the_disk(client: ModuleType, token: str, home: Path, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(home)}
    for name in ("../../../escaped.csv", "/etc/escaped.csv", "a/b\\c:d*e?.csv", ".", "..", "con", "x" * 300):
        made = client.path.file.addCsv(pd.DataFrame({"a": [1]}), name, token)["id"]
        assert client.path.get(made, token)["name"] == name
        assert client.path.file.getCsv(made, token)["a"].to_list() == [1]
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(home)} == before
    assert not [path for path in home.rglob("*") if "escaped" in path.name]
