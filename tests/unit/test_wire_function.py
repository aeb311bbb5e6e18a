"""Functions as they come over the wire: what a node is told of them, and what is refused before anything starts."""

from __future__ import annotations

import base64
import pickle
import sys
import textwrap
import types
import warnings
from pathlib import Path

import pytest

from ellipsis_local.errors import ArgumentError
from ellipsis_local.node_program.ellipsis_node import functions, pickles
from ellipsis_local.node_program.ellipsis_node.records import NodeFunction
from ellipsis_local.nodes import Sent, describe_sent

HERE = sys.version_info[:3]
OLDER = (3, 9, 0)
NEWER = (3, sys.version_info[1] + 1, 0)


def sent(source: str, name: str | None = None) -> str:
    """What client 3.3.12 makes of a source, after hosted-service.md."""
    name = name or source.split("(")[0].replace("def", "").replace(" ", "")
    return "def userFunction(params):\n " + source.replace("\n", "\n  ") + f"\n return {name}(params)"


SOURCE = textwrap.dedent(
    '''
    def total(params):
        text = """two
        lines"""
        return [params["x"] + len(text), params["y"]]
    '''
).lstrip()


def node(description: NodeFunction) -> object:
    """The function as a node has it."""
    return functions.load_function(description)


def failure(description: NodeFunction, params: dict) -> str:
    """What a node tells of the function's exception."""
    call = node(description)
    try:
        call(params)
    except Exception:  # noqa: BLE001 - whatever it is
        return functions.user_traceback(description.outer_frames)
    raise AssertionError("it did not fail")


def test_the_clients_text_goes_as_it_is() -> None:
    description = describe_sent(sent(SOURCE), HERE)
    assert (description.kind, description.wrapped) == ("source", True)
    assert description.text == sent(SOURCE)
    assert description.source == SOURCE
    # The client's way of sending adds two spaces to each line of a text in triple quotes.
    assert node(description)({"x": 1, "y": 2}) == [1 + len("two\n      lines"), 2]


def test_tracebacks_show_the_lines_of_the_users_function() -> None:
    text = failure(describe_sent(sent(SOURCE), HERE), {"x": 1})
    assert "KeyError: 'y'" in text
    assert 'File "<function>", line 4, in total\n    return [params["x"] + len(text), params["y"]]' in text
    assert "userFunction" not in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tracebacks mark columns from Python 3.11 on")
def test_tracebacks_mark_the_columns_of_the_users_function() -> None:
    description = describe_sent(sent("def f(params):\n    return len(params) / (params['x'] - 1)\n"), HERE)
    lines = failure(description, {"x": 1}).split("\n")
    (shown,) = [number for number, line in enumerate(lines) if "return len" in line]
    marked = lines[shown + 1]
    start, end = len(marked) - len(marked.lstrip()), len(marked)
    assert lines[shown][start:end] == "len(params) / (params['x'] - 1)"


def test_a_text_made_in_another_way_keeps_its_own_lines() -> None:
    text = "import math\ndef userFunction(params):\n  return math.sqrt(params['x'])\n"
    description = describe_sent(text, HERE)
    assert node(description)({"x": 4}) == 2
    assert "line 3, in userFunction\n    return math.sqrt(params['x'])" in failure(description, {})
    one_line = describe_sent("def userFunction(params): return 1 / params['x']", HERE)
    assert "line 1, in userFunction\n    def userFunction(params): return 1" in failure(one_line, {"x": 0})


def test_equal_texts_have_one_key_and_others_another() -> None:
    keys = [describe_sent(text, HERE).key for text in (sent(SOURCE), sent(SOURCE), sent(SOURCE + "\n"))]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (None, "must be of type string, not NoneType"),
        ({"a": 1}, "must be of type string, not dict"),
        (b"def", "must be of type string, not bytes"),
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("x" * 16_000_001, "16,000,001 characters"),
        ("hello", "neither the text of a function nor a dill pickle"),
        ("{'a': 1}", "neither the text"),
        (base64.b64encode(b"not a pickle").decode(), "neither the text"),
        (base64.b64encode(pickle.dumps([1, 2, 3]))[:-4].decode(), "neither the text"),
        ("def f(params):\n  return 1\n", "does not define userFunction"),
        ("def f(params):\n  return userFunction\n", "does not define userFunction"),
        ("def userFunction(params):\n return '\0'", "null character"),
        ("def userFunction(params):\n return '\ud800'", "holds what no Python source may: .*surrogates"),
        (sent("def f(params):\n    x = 1\n    y = (\n"), r"syntax error in line 3 of the function: '\(' was never closed: y = \("),
        (sent("def f(params):\n    return 1 +\n"), r"line 2 of the function: invalid syntax: return 1 \+"),
        (sent("@cache\ndef f(params):\n    return 1\n"), "line 2 of the function.*a decorator cannot be sent"),
        (sent("@cache(1)\ndef f(params):\n    return 1\n"), "a decorator cannot be sent"),
        (sent("f = lambda params: 1\n"), "a lambda cannot be sent"),
        (sent("f = lambda params: len(params)\n"), "a lambda cannot be sent"),
        (sent("    def f(params):\n        return 1\n"), "the client's own line.*move it to the top level"),
        (sent("def f(params):\n    nonlocal x\n"), "line 2 of the function: no binding for nonlocal 'x'"),
        ("import os\ndef userFunction(params):\n  return (\n", "line 3 of the function: '\\(' was never closed"),
    ],
)  # fmt: skip
def test_what_is_refused(file, text) -> None:
    with pytest.raises(ArgumentError, match=f"(?s)^file .*{text}") as caught:
        describe_sent(file, HERE)
    assert caught.value.argument == "file"


def test_only_what_the_node_cannot_read_either_is_refused() -> None:
    broken, compiled = sent("def f(params):\n    x = (\n"), sent("def f(params):\n    nonlocal x\n")
    for file in (broken, compiled):
        assert describe_sent(file, NEWER).kind == "source"
        # There is text enough that only a newer Python reads; the node tells of this one.
        with pytest.raises(functions.FunctionError, match="SyntaxError") as caught:
            node(describe_sent(file, NEWER))
        assert 'File "<function>", line 2' in str(caught.value)
    with pytest.raises(ArgumentError, match="was never closed"):
        describe_sent(broken, OLDER)
    assert describe_sent(compiled, OLDER).kind == "source"
    quotes = sent("def f(params):\n    return f'{params!'\n")
    if sys.version_info >= (3, 12):
        assert describe_sent(quotes, OLDER).kind == "source"


def test_names_that_the_text_does_not_bring_are_the_nodes_to_tell() -> None:
    description = describe_sent(sent("def f(params):\n    return FACTOR * helper(params)\n"), HERE)
    assert "NameError: name 'FACTOR' is not defined" in failure(description, {})
    coroutine = describe_sent(sent("async def f(params):\n    return 1\n"), HERE)
    assert "NameError: name 'asyncf' is not defined" in failure(coroutine, {})
    unnamed = describe_sent("def userFunction(params):\n  return 1\ndel userFunction\n", HERE)
    with pytest.raises(functions.FunctionError, match="does not define userFunction"):
        node(unnamed)


def test_nothing_is_run_or_unpickled(tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    class Touches:
        def __reduce__(self):
            return Path.touch, (trace,)

    describe_sent(f"open({str(trace)!r}, 'w')\ndef userFunction(params):\n  return 1\n", HERE)
    description = describe_sent(base64.b64encode(pickle.dumps(Touches())).decode(), HERE)
    assert description.kind == "dill"
    pickles._codes(base64.b64decode(description.pickle))
    assert not trace.exists()


def test_what_is_too_deep_or_too_long_to_compile_here_is_left_to_the_node() -> None:
    deep = sent(f"def f(params):\n    return {'-' * 100_000}1\n")
    assert describe_sent(deep, HERE).kind == "source"
    long = sent(f"def f(params):\n    # {'x' * 300_000}\n    return (\n")
    assert describe_sent(long, HERE).kind == "source"


def test_nobody_is_warned_of_the_text() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert describe_sent(sent("def f(params):\n    return '\\d' is 'x'\n"), HERE).kind == "source"


def test_sent_is_told_from_a_function() -> None:
    assert Sent("text") == Sent("text")
    assert not callable(Sent("text"))


# --- dill pickles ---------------------------------------------------------------------------------------------------


def code_parts(code: types.CodeType) -> tuple:
    """What dill keeps of a code object from Python 3.11 on."""
    return (
        b"", code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_nlocals, code.co_stacksize,
        code.co_flags, code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_filename, code.co_name,
        code.co_qualname, code.co_firstlineno, code.co_linetable, code.co_exceptiontable, code.co_freevars,
        code.co_cellvars,
    )  # fmt: skip


def codes_of(module: types.ModuleType) -> list[types.CodeType]:
    pending = [compile(Path(str(module.__file__)).read_text(encoding="utf-8"), "m", "exec")]
    for code in pending:
        pending += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return pending


def test_code_of_this_python_is_known_as_such() -> None:
    import argparse
    import asyncio.tasks
    import dataclasses
    import typing

    codes = [code for module in (argparse, asyncio.tasks, dataclasses, typing) for code in codes_of(module)]
    assert len(codes) > 500
    pickles._check_codes([code_parts(code) for code in codes])
    for code in codes:
        bound = len(code.co_varnames) + len(code.co_freevars) + len(code.co_cellvars)
        assert pickles._decodes(code.co_code, len(code.co_consts), len(code.co_names), bound), code


def resume(code: bytes, number: int) -> bytes:
    import opcode

    assert code[0] == opcode.opmap["RESUME"]
    return bytes([number]) + code[1:]


@pytest.mark.parametrize(("number", "made"), [(149, "3.13"), (128, "3.14")])
def test_code_of_another_python_names_it(number, made) -> None:
    parts = list(code_parts(resume.__code__))
    parts[7] = resume(parts[7], number)
    if made == pickles.OWN:
        pickles._check_codes([tuple(parts)])
    else:
        with pytest.raises(pickles.ForeignPickleError, match=f"made it: Python {made}.*interpreter='python{made}'"):
            pickles._check_codes([tuple(parts)])


@pytest.mark.parametrize(("cut", "made"), [(slice(0, None), "3.10"), (slice(1, None), "3.9")])
def test_code_from_before_python_3_11_is_known_by_its_parts(cut, made) -> None:
    parts = code_parts(resume.__code__)
    # No qualified name and no table of exceptions then.
    parts = parts[:13] + parts[14:16] + parts[17:]
    with pytest.raises(pickles.ForeignPickleError, match=f"Python {made}, and this node has Python {pickles.OWN}"):
        pickles._check_codes([parts[cut]])


def test_bytes_that_are_no_instructions_are_refused() -> None:
    parts = list(code_parts(resume.__code__))
    for wrong in (b"", parts[7][2:], bytes(20)):
        parts[7] = wrong
        with pytest.raises(
            pickles.ForeignPickleError, match=r"interpreter='python3.X' like your own, or a newer client"
        ):
            pickles._check_codes([tuple(parts)])


def in_main(code: str) -> types.FunctionType:
    """A function of a script, which dill pickles whole."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    exec(code, main.__dict__)
    return main.f


@pytest.fixture
def own_main():
    kept = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = kept


CLOSURE = """
def outer():
    factor = 3
    def f(params):
        import math
        return factor * math.sqrt(params["x"]) + sum(i for i in range(3)) + helper()
    return f
def helper():
    return 1
f = outer()
"""


def test_a_pickle_is_loaded_with_its_closure_and_without_names_of_ours(own_main, monkeypatch) -> None:
    import dill

    function = in_main(CLOSURE)
    monkeypatch.setattr(dill._dill, "_main_module", sys.modules["__main__"])
    text = base64.b64encode(dill.dumps(function)).decode()
    sys.modules["__main__"].leaked = 1
    description = describe_sent(text, HERE)
    assert description.kind == "dill"
    loaded = node(description)
    # Names of the script are not in the pickle (dill leaves them where they are).
    with pytest.raises(NameError, match="helper"):
        loaded({"x": 4})
    assert "leaked" not in loaded.__globals__
    assert loaded.__closure__[0].cell_contents == 3


def test_what_cannot_be_loaded_tells_what_it_was(own_main) -> None:
    for value, text in (
        (b"\x80\x04cnowhere\nthing\n.", "(?s)ModuleNotFoundError.*names the module 'nowhere'.*came as a dill pickle"),
        (pickle.dumps([1]), "(?s)holds an object of type list, and no function.*came as a dill pickle"),
        (b"\x80\x04junk.", "(?s)came as a dill pickle.*or a newer client"),
    ):
        with pytest.raises(functions.FunctionError, match=text):
            node(describe_sent(base64.b64encode(value).decode(), HERE))


def test_an_environment_of_before_has_no_dill(own_main, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "dill", None)
    with pytest.raises(functions.FunctionError, match="an earlier ellipsis_local made: create the compute anew"):
        node(describe_sent(base64.b64encode(pickle.dumps([1])).decode(), HERE))
