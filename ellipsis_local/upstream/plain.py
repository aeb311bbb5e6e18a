"""A path of type file: its bytes, under its id and name."""

from __future__ import annotations

from ellipsis_local.errors import LayerError
from ellipsis_local.store import LayerStore
from ellipsis_local.upstream.client import Client
from ellipsis_local.upstream.downloads import download
from ellipsis_local.upstream.drafts import Drafts, safe_suffix
from ellipsis_local.upstream.progress import Teller
from ellipsis_local.upstream.pulled import Origin, Origins
from ellipsis_local.upstream.told import ToldPath

__all__ = ["pull_file"]


def pull_file(
    client: Client,
    store: LayerStore,
    drafts: Drafts,
    origins: Origins,
    told: ToldPath,
    parent: str | None,
    replace: bool,
    teller: Teller,
) -> bool:
    """Bring a file into the store; False where it is there already.

    Raises
    ------
    LayerError
        Where something else is here under its id.
    """
    name = repr(told.name)
    origin = Origin(client.url, "file", None, told.record)
    with drafts.alone(told.id, lambda: teller.say(f"waiting for another process that pulls {name}")):
        here = store.catalogue.find_path(told.id)
        if here is not None and (here.type != "file" or here.trashed):
            state = "in the trash" if here.trashed else f"a {here.type}"
            raise LayerError(f"path {told.id} ({name}) is a file there, and {state} here")
        if here is not None:
            stored = store.get_plain_file(told.id)
            # The content of a file of the service does not change; another record is another name or place.
            if origins.get(told.id, [stored.content]) == origin:
                teller.say(f"{name} is here already, unchanged")
                return False
            if not replace and told.size not in (None, stored.size):
                raise LayerError(f"path {told.id} ({name}) holds a file of other content; replace=True replaces it")
        with drafts.draft(client.url, told.id, told.record) as folder:
            target = folder / f"data{safe_suffix(told.name)}"
            download(client, f"/path/{told.id}/file/data", target, what=name, size=told.size, teller=teller)
            store.add_plain_file(
                target, name=told.name, path_id=told.id, parent_id=parent, metadata=told.metadata, replace=replace
            )
        content = store.get_plain_file(told.id).content
        changed = here is None or content != stored.content
        origins.note(told.id, told.id, origin, [content])
        teller.say(f"pulled {name}" if changed else f"{name} is here already, unchanged")
        return changed
