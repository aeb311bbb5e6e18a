"""What scripts make of the list that execute returns: what the service's shards would break, and what they would not."""

from __future__ import annotations

import pytest

from ellipsis_local.preflight import Report, check_script

START = (
    "import ellipsis as el\nimport numpy as np\n\n\ndef f(params):\n    return {'count': 1}\n\n\n"
    "layers = [{'pathId': '1791d90c-86ee-417e-aa04-0e22447f6fd9', 'timestampId': '32fc7fae-cbfe-4a76-8267-83b692ece730'}]\n"
)
MANY = START + "nodes = 4\nmade = el.compute.createCompute(layers, 'token', nodes=nodes)['id']\n"
ONE = START + "made = el.compute.createCompute(layers, 'token', nodes=1)['id']\n"
ANY = START + "made = open('id').read()\n"
RUN = "response = el.compute.execute(made, f, 'token')\n"


def found(script: str) -> list[tuple[str, str]]:
    """Rule, and what it is told of."""
    report: Report = check_script(script, "job.py")
    assert all(one.severity == "warning" and one.file == "job.py" for one in report.findings)
    assert all(one.way_out and "shard" in one.message for one in report.findings)
    return [(one.rule, one.message.split("`")[1]) for one in report.findings]


@pytest.mark.parametrize(
    ("script", "part"),
    [
        (MANY + RUN + "for r, n in zip(response, range(nodes)):\n    print(r, n)\n", "zip(response, range(nodes))"),
        (MANY + RUN + "d = dict(zip(range(4), response))\n", "zip(range(4), response)"),
        (MANY + RUN + "d = dict(zip(range(0, nodes), response))\n", "zip(range(0, nodes), response)"),
        (MANY + RUN + "assert len(response) == nodes\n", "len(response) == nodes"),
        (MANY + RUN + "if 4 != len(response):\n    raise ValueError\n", "4 != len(response)"),
        (MANY + RUN + "while len(response) < nodes:\n    pass\n", "len(response) < nodes"),
        (MANY + RUN + "for n in range(nodes):\n    print(response[n])\n", "response[n]"),
        (MANY + RUN + "a = [response[n]['count'] for n in range(nodes)]\n", "response[n]"),
        (MANY + RUN + "a, b, c, d = response\n", "a, b, c, d = response"),
        (ONE + RUN + "print(response[0])\n", "response[0]"),
        (ONE + RUN + "print(response[-1]['count'])\n", "response[-1]"),
        (ONE + "print(el.compute.execute(made, f, 'token')[0])\n", "el.compute.execute(made, f, 'token')[0]"),
        (ONE + RUN + "(only,) = response\n", "(only,) = response"),
        (ONE + "[only] = el.compute.execute(made, f, 'token')\n", "[only] = el.compute.execute(made, f, 'token')"),
        (ONE + RUN + "assert len(response) == 1\n", "len(response) == 1"),
        (ANY + "nodes = int(input())\n" + RUN + "assert len(response) == nodes\n", "len(response) == nodes"),
        (START + "def main(nodes):\n    made = el.compute.createCompute(layers, 't', nodes=nodes)\n"
         "    results = el.compute.execute(made['id'], f, 't')\n    assert len(results) == nodes\n",
         "len(results) == nodes"),
        (ONE + "def run(g):\n    return el.compute.execute(made, g, 't')\nx = run(f)\nprint(x[0])\n", "x[0]"),
        (ONE + "def run(g):\n    r = el.compute.execute(made, g, 't')\n    return list(r)\nprint(run(f)[0])\n", "run(f)[0]"),
    ],
)  # fmt: skip
def test_what_takes_it_that_there_is_one_result_per_node(script: str, part: str) -> None:
    assert found(script) == [("one-per-node", part)]


@pytest.mark.parametrize(
    "part",
    [
        "sum(response)",
        "np.sum(response)",
        "np.sum(response, axis=0)",
        "np.mean(response)",
        "np.nanmedian(response)",
        "sum(r['count'] for r in response)",
        "sum([r['count'] for r in response if r])",
        "sum((v for r in response for v in r.values()))",
        "sum(map(len, response))",
        "np.array(response).sum()",
        "np.array(response)[:, 0].sum()",
        "np.stack(response).mean(axis=0)",
        "pd.concat(response)['area'].sum()",
        "pd.concat(response).groupby('kind').sum()",
        "statistics.mean(response)",
        "functools.reduce(operator.add, response)",
        "sum((Counter(r) for r in response), Counter())",
        "np.average([r['mean'] for r in response], weights=[r['count'] for r in response])",
        "sum(el.compute.execute(made, f, 'token'))",
    ],
)
def test_what_counts_twice_where_shards_overlap(part: str) -> None:
    assert found(MANY + RUN + f"x = {part}\n") == [("counted-twice", part if len(part) <= 80 else part[:79] + "…")]


@pytest.mark.parametrize(
    "script",
    [
        "total = 0\nfor r in response:\n    total += r['count']\n",
        "total = 0.0\nfor i, r in enumerate(response):\n    if r:\n        total += r['count']\n",
        "total = Counter()\nfor r in response:\n    for k, v in r.items():\n        total[k] += v\n",
        "total = defaultdict(int)\nfor r in response:\n    for k in r:\n        total[k] += r[k]\n",
    ],
)
def test_loops_that_add_up(script: str) -> None:
    ((rule, part),) = found(MANY + RUN + script)
    assert (rule, part) == ("counted-twice", script.partition("\n")[2].partition("\n")[0])


def test_through_names() -> None:
    assert found(MANY + RUN + "counts = [r['count'] for r in response]\ntotal = sum(counts)\n") == [
        ("counted-twice", "sum(counts)")
    ]


@pytest.mark.parametrize(
    "script",
    [
        # of any number of results
        "for n, r in enumerate(response):\n    print(n, r)\n",
        "print(len(response), 'results')\n",
        "for r, n in zip(response, range(len(response))):\n    print(r)\n",
        "for n in range(len(response)):\n    print(response[n])\n",
        "assert len(response) > 0\n",
        "assert len(response) >= 1\n",
        "print(response[0])\n",
        "first, *others = response\n",
        "for r in response:\n    a, b = r\n",
        "a, b = zip(*response)\n",
        # that does not mind what comes twice
        "print(max(response), np.max(response), np.array(response).min())\n",
        "print(max(r['count'] for r in response))\n",
        "print(any(response), all(response))\n",
        "kinds = set().union(*response)\n",
        "print(len(set(r['id'] for r in response)))\n",
        "print(pd.concat(response).drop_duplicates('id')['area'].sum())\n",
        "print(sum(set(r['count'] for r in response)))\n",
        "print(sum({r['id']: r['count'] for r in response}.values()))\n",
        # of one entry, or of none
        "print([sum(r) for r in response])\n",
        "print(max(sum(r) for r in response))\n",
        "print(np.mean(response[0]))\n",
        "for r in response:\n    print(np.sum(r))\n",
        "n = 0\nfor r in response:\n    n += 1\n",
        "print(sum(1 for r in response))\n",
        "features = []\nfor r in response:\n    features += r\n",
        "rows = sum(response, [])\n",
        "text = ''\nfor r in response:\n    text += str(r)\n",
        # of something else
        "response = [1, 2, 3, 4]\nprint(sum(response), len(response) == nodes)\n",
        "response = merged(response)\nprint(sum(response))\n",
        "print(sum(range(nodes)), nodes == 4)\n",
        "el.compute.addLayer(response, 'p', 't', 'token')\n",
        "def total(response):\n    return sum(response)\n",
    ],
)
def test_what_is_right_is_left_alone(script: str) -> None:
    assert found(MANY + RUN + script) == []


def test_without_layers_nothing_is_cut() -> None:
    script = START + "made = el.compute.createCompute([], 'token', files=['x'], nodes=1)['id']\n" + RUN
    assert found(script + "print(response[0], sum(response))\n") == []


def test_the_text_of_the_findings() -> None:
    (finding,) = check_script(MANY + RUN + "assert len(response) == nodes\n", "job.py").findings
    assert str(finding) == (
        "(job.py:13:8): `len(response) == nodes` takes it that every node gives one result, and the service gives one per "
        "shard, of which a node runs several: go through the response as long as it is; cut='shards' cuts so here, too "
        "[one-per-node]"
    )
