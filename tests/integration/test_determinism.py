"""Seeds, clocks and cuts: what is to be the same in every run, process and on every machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import uuid
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine

from ellipsis_local.database import Database
from ellipsis_local.emulator import SCHEMA, Emulator
from ellipsis_local.errors import AccountError, LayerWarning
from ellipsis_local.home import Home
from ellipsis_local.identity import Identity
from ellipsis_local.partitions import Part, Partitioning, Partitions, tasks
from ellipsis_local.settings import Settings
from ellipsis_local.store import LayerStore
from ellipsis_local.types import Timestamp
from tests.integration.conftest import wait_for

RUNNING = f"python3.{sys.version_info[1]}"
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("golden_cuts.json")
"""Made by `python -m tests.integration.test_determinism`, where a cut is to be another from then on."""


# --- ids and times ----------------------------------------------------------------------------------------------------


def numbers(params):
    import random
    import time

    import numpy as np

    value = next(value for value in params.values() if isinstance(value, dict))
    west = value["extent"]["xMin"] < 500_100
    # The first node is the last one to be done.
    time.sleep(0.05 if west else 0)
    print("drawn")
    return [random.random(), float(np.random.random()), value["extent"]["xMin"]]


def memory_file(params):
    import io

    return io.BytesIO(b"result")


def story(el: ModuleType) -> dict[str, Any]:
    """What users see of everything that gets an id or a time, by way of the public functions."""
    token = el.account.logIn("demo_user", "demo_user")
    array = np.arange(2400, dtype="uint16").reshape(1, 40, 60)
    source = {"raster": array, "transform": Affine(10, 0, 500_000, 0, -10, 6_000_000), "crs": "EPSG:3857"}
    raster = el.layers.add(source)
    file = el.path.file.add(token, memFile=io.BytesIO(b"bytes"), name="a.bin")
    folder = el.path.folder.add("folder", token)
    layer = el.path.raster.add("target", token)
    timestamp = el.path.raster.timestamp.add(layer["id"], token)
    arguments = {"layers": [raster], "token": token, "nodes": 2, "interpreter": RUNNING}
    small = el.compute.createCompute(**arguments)["id"]
    drawn = el.compute.execute(small, numbers, token)
    again = el.compute.execute(small, numbers, token)
    large = el.compute.createCompute(**arguments, files=[file["id"]], largeResult=True)["id"]
    files = el.compute.execute(large, memory_file, token)
    infos = [el.compute.getComputeInfo(one, token) for one in (small, large)]
    for info in infos:
        for node in info["nodes"]:
            # What is measured is not the same.
            assert node.pop("seconds") >= 0
            node.pop("peakMemory", None)
    emulator = el.emulator.current_emulator()
    logs = [json.loads(line) for line in (emulator.home.compute(small) / "log.jsonl").read_text().splitlines()]
    user = emulator.user(token)
    story = {
        "made": [raster, file, folder, layer, timestamp, small, large],
        "drawn": drawn,
        "again": again,
        "files": files,
        "infos": infos,
        "stored": [one.id for one in emulator.store.timestamp(raster["pathId"], raster["timestampId"]).files],
        "dates": str(emulator.store.timestamp(layer["id"], timestamp["id"]).date_from),
        "tokens": [(one.id, str(one.created)) for one in emulator.accounts.tokens(user.id)],
        "log": sorted((line["execution"], line["node"], line["text"], line["time"]) for line in logs),
        "listed": [one["id"] for one in el.compute.listComputes(token)["result"]],
    }
    el.compute.terminateAll(token)
    el.emulator.use(None)
    return json.loads(json.dumps(story))


@pytest.fixture
def tell(el: ModuleType, tmp_path: Path, shared_environments: Path) -> Callable[..., dict[str, Any]]:
    """The story in a new home."""

    def start(**settings: Any) -> dict[str, Any]:
        home = tmp_path / uuid.uuid4().hex
        el.configure(home=home, environments=shared_environments, **settings)
        return story(el)

    return start


def test_all_that_is_told_is_the_same(tell: Any) -> None:
    first = tell(inline=True, seed=7, clock=NOON)
    assert tell(inline=True, seed=7, clock=NOON) == first
    # Real nodes, on one worker and on two, change nothing of it.
    assert tell(inline=False, seed=7, clock=NOON, cores=1) == first
    assert tell(inline=False, seed=7, clock=NOON, cores=2) == first
    made = [one["pathId"] if "pathId" in one else one["id"] for one in first["made"][:5]]
    ids = {*made, *first["made"][5:], *first["stored"], *first["files"], first["tokens"][0][0]}
    assert len(ids) == 5 + 2 + 1 + 2 + 1
    assert all(uuid.UUID(one).version == 4 for one in [*made, *first["made"][5:], *first["stored"]])
    other = tell(inline=True, seed=8, clock=NOON)
    assert not ids & {*other["made"][5:], *other["files"], *other["stored"], other["tokens"][0][0]}
    assert other["drawn"] != first["drawn"]


def test_what_the_same_story_says(tell: Any) -> None:
    told = tell(inline=True, seed=7, clock=NOON)
    # Per node another, in every execution the same, in the order of the partitions though the first is slow.
    assert told["drawn"] == told["again"]
    assert told["drawn"][0][:2] != told["drawn"][1][:2]
    assert [one[2] for one in told["drawn"]] == [node["extent"]["xMin"] for node in told["infos"][0]["nodes"]]
    assert told["drawn"][0][2] < told["drawn"][1][2]
    assert {info["createdAt"] for info in told["infos"]} == {NOON.isoformat()}
    assert told["dates"] == str(NOON)
    assert [created for _, created in told["tokens"]] == [str(NOON)]
    assert {line[3] for line in told["log"]} == {NOON.timestamp()}
    # The newest first, although both are of one instant.
    assert told["listed"] == told["made"][:4:-1]


def test_without_a_seed_nothing_is_the_same(tell: Any) -> None:
    first, other = tell(inline=True), tell(inline=True)
    assert not {*first["made"][5:], *first["files"], *first["stored"]} & {
        *other["made"][5:],
        *other["files"],
        *other["stored"],
    }
    drawn = [tuple(one[:2]) for one in [*first["drawn"], *first["again"], *other["drawn"]]]
    assert len({*drawn}) == 6


def order(params):
    return list({"a", "b", "c", "d", "e", "f", "g", "h"}), hash("text")


def test_sets_of_real_nodes_have_one_order(el: ModuleType, token: str, raster: dict[str, str]) -> None:
    """In every process that a seed started; without one each has its own."""
    found = []
    for seed in (7, 7, None, None):
        el.configure(seed=seed)
        compute_id = el.compute.createCompute(layers=[raster], token=token, nodes=1, interpreter=RUNNING)["id"]
        found.append(el.compute.execute(compute_id, order, token))
        el.compute.terminateCompute(compute_id, token)
    assert found[0] == found[1]
    assert len({repr(one) for one in found}) == 3


DRAW = """
import sys
from pathlib import Path
from ellipsis_local.database import Database
from ellipsis_local.identity import Identity
database = Database(Path(sys.argv[1]), (), Identity(seed=3))
print(*(database.new_id() for _ in range(100)))
database.close()
"""


def test_processes_that_share_a_home_never_draw_one_id_twice(tmp_path: Path) -> None:
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", DRAW, str(tmp_path / "a.sqlite")], env=environ, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    found = [process.communicate()[0].split() for process in running]
    identity = Identity(seed=3)
    # Together they drew what one alone would have.
    assert sorted(one for ids in found for one in ids) == sorted(identity.id(number) for number in range(1, 301))


def test_an_id_belongs_to_its_transaction(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite", ("CREATE TABLE IF NOT EXISTS t (id TEXT)",), Identity(seed=3))
    with pytest.raises(RuntimeError), database.transaction() as connection:
        lost = database.new_id()
        connection.execute("INSERT INTO t VALUES (?)", (lost,))
        raise RuntimeError
    first = database.new_id()
    # What was rolled back is not known to anybody.
    assert first == lost
    assert database.new_id() != first
    other = Database(tmp_path / "a.sqlite", (), Identity(seed=4))
    assert other.new_id() == Identity(seed=4).id(1)
    other.close()
    database.close()


# --- a clock that stands ----------------------------------------------------------------------------------------------


def test_tokens_expire_by_the_clock(home: Path) -> None:
    def emulator(clock: datetime) -> Emulator:
        return Emulator(Settings(home=home, clock=clock, progress=False))

    with emulator(NOON) as first:
        token = first.accounts.log_in("ada", "a password", valid_for=60)
    with emulator(NOON + timedelta(seconds=59)) as still:
        assert still.user(token).name == "ada"
    with emulator(NOON + timedelta(seconds=61)) as over, pytest.raises(AccountError, match="expired"):
        over.user(token)


def test_lists_keep_their_order_and_waits_end(el: ModuleType, token: str, raster: dict[str, str]) -> None:
    el.configure(clock=NOON)
    paths = [el.path.folder.add(f"folder {number}", token)["id"] for number in range(8)]
    sharing = el.emulator.current_emulator().sharing
    user = el.emulator.current_emulator().user(token)
    for path in reversed(paths):
        sharing.set_favourite(user, path, True)
    assert sharing.favourites(user) == paths[::-1]
    arguments = {"layers": [raster], "token": token, "nodes": 1, "interpreter": RUNNING, "awaitTillStarted": False}
    made = [el.compute.createCompute(**arguments)["id"] for _ in range(2)]
    for one in made:
        wait_for(el, one, token, "available")
    el.compute.execute(made[0], order, token, awaitTillCompleted=False)
    wait_for(el, made[0], token, "completed")
    assert [one["id"] for one in el.compute.listComputes(token)["result"]] == made[::-1]
    el.compute.terminateAll(token)


# --- the same cut on every machine ------------------------------------------------------------------------------------


JOBS = {"rasters": ("scene", "dem"), "mosaic": ("ortho",), "features": ("buildings", "roads"), "all": ()}
"""Names of fixture layers; all that are not awkward where there is none."""


def cut(
    home: Path, *, here: Any = "all", cores: int = 1, nodes: tuple[int, ...] = (3, 4), only: str = ""
) -> dict[str, Any]:
    """What the cuts of the fixtures are: extents, and per node a hash of the pixels, or which features."""
    place = Home(home)
    place.prepare()
    database = Database(place.database, SCHEMA)
    store = LayerStore(place, database)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayerWarning)
        store.load(ROOT / "fixtures")
    partitions = Partitions(place, cores=cores, cache_size=10**9, here=here)
    layers = {
        record.name: store.catalogue.timestamps_of(record.id)[0]
        for record in store.list()
        if record.type in ("raster", "vector") and not record.name.startswith("awkward")
    }
    found = {}
    for job, names in JOBS.items():
        for count in nodes if only in ("", job) else ():
            wanted = [layers[name] for name in names or sorted(layers)]
            found[f"{job} {count}"] = told(wanted, partitions.ensure(partitions.plan(wanted, count)))
    database.close()
    store.close()
    return found


def told(layers: list[Timestamp], made: Partitioning) -> dict[str, Any]:
    return {
        "extents": [[round(float(value), 3) for value in extent] for extent in made.extents],
        "parts": [[content(layer, part) for layer, part in zip(layers, node, strict=True)] for node in made.parts],
    }


def content(layer: Timestamp, part: Part) -> list[Any]:
    """The size of a part, what is in it, and whether that is the same with every release of GDAL and PROJ."""
    if part.type == "raster":
        data = np.load(part.path)
        return [list(data.shape), digest(data.tobytes()), layer.rasters[0].crs == "EPSG:3857"]
    frame = gpd.read_parquet(part.path)
    plain = frame[sorted(set(frame.columns) - {frame.geometry.name})].itertuples(index=False, name=None)
    values = [[str(value) for value in row if isinstance(value, int | str)] for row in plain]
    return [len(frame), digest(json.dumps(values).encode()), True]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return cut(tmp_path_factory.mktemp("cuts") / "home")


def test_the_fixtures_are_cut_as_they_always_were(cuts: dict[str, Any]) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert cuts.keys() == golden.keys()
    for job, one in cuts.items():
        assert one["extents"] == [pytest.approx(extent, abs=0.01) for extent in golden[job]["extents"]], job
        for node, parts in enumerate(one["parts"]):
            for part, kept in zip(parts, golden[job]["parts"][node], strict=True):
                assert part[0] == kept[0], (job, node)
                assert part[1] == kept[1] or not kept[2], (job, node)
    exact = [part[2] for one in golden.values() for node in one["parts"] for part in node]
    assert sum(exact) > len(exact) / 2


@pytest.mark.parametrize(("cores", "seed", "job"), [(1, "1", "all"), (4, "2", "rasters")])
def test_helpers_of_any_number_cut_the_same(
    cuts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, seed: str, job: str
) -> None:
    """In small tasks, so that there is something to share."""
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    monkeypatch.setattr(tasks, "HELPER_BYTES", 2**18)
    monkeypatch.setattr(tasks, "SMALL_TASK_BYTES", 2**15)
    found = cut(tmp_path / "home", here="never", cores=cores, nodes=(3,), only=job)
    assert found == {f"{job} 3": cuts[f"{job} 3"]}


def test_another_process_tells_and_cuts_the_same(
    tell: Any, cuts: dict[str, Any], tmp_path: Path, shared_environments: Path
) -> None:
    """With another order of sets, too."""
    code = (
        "import json, sys, ellipsis_local\n"
        "from pathlib import Path\n"
        "from tests.integration.test_determinism import NOON, cut, story\n"
        "ellipsis_local.configure(home=sys.argv[1], environments=sys.argv[2], inline=True, seed=7, clock=NOON,\n"
        "    progress=False, cores=2)\n"
        "print(json.dumps([story(ellipsis_local), cut(Path(sys.argv[3]), nodes=(3,))]))\n"
    )
    environ = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    folders = [str(tmp_path / "elsewhere"), str(shared_environments), str(tmp_path / "cuts")]
    command = [sys.executable, "-W", "ignore", "-c", code, *folders]
    told, found = json.loads(
        subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )
    assert told == tell(inline=True, seed=7, clock=NOON)
    assert found == {job: one for job, one in cuts.items() if job.endswith(" 3")}


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        lines = [f"{json.dumps(job)}: {json.dumps(one)}" for job, one in cut(Path(folder) / "home").items()]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
