"""Arrays of Arrow as blobs of an encoded value: see `values`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .values import Reader, Writer


def arrow_blob(writer: Writer, array: Any) -> list[int]:
    import pyarrow
    import pyarrow.ipc

    sink, table = pyarrow.BufferOutputStream(), pyarrow.table({"0": array})
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return writer.blob(memoryview(sink.getvalue()))


def read_arrow(reader: Reader, tree: dict[str, Any]) -> Any:
    """The array of `arrow_blob`, in memory of its own."""
    import pyarrow
    import pyarrow.ipc

    return pyarrow.ipc.open_stream(pyarrow.py_buffer(bytes(reader.blob(tree)))).read_all().column(0)
