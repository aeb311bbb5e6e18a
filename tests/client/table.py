"""Every public function of the client, and how far this project answers it: the source of docs/coverage.md."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, NamedTuple

__all__ = ["HIDDEN", "STATES", "TABLE", "Row", "exported", "split"]

State = Literal["emulated", "partly", "not", "local"]
STATES: dict[State, str] = {"emulated": "emulated", "partly": "partly", "not": "not emulated", "local": "client-side"}


class Row(NamedTuple):
    """One function: how far it works, and where that is not all, why."""

    state: State
    note: str = ""


E = Row("emulated")
NOT = Row("not")
MESH = Row("not", "meshes are outside this project")
CLOUD = Row("not", "point clouds are outside this project")
ORDER = Row("not", "orders are outside this project: `file.download` gives what was uploaded")
STYLE = Row("not", "tiles that are asked for with a style are drawn, in one default style")
VECTOR_STYLE = Row("not", "vectors are not rendered")
MESSAGE = Row("not", "features carry no messages")
SERIES = Row("not", "features carry no time series")
LOCAL = Row("local")
UPLOADS = Row("emulated", "a broken file is there, too: `errored`, with its `message`")
KEPT = Row("partly", "kept as data, without effect")

TABLE: dict[str, Row] = {
    "account.logIn": Row("emulated", "the first login of a name makes the user"),
    "account.browserLogin": Row("local", "opens the hosted service's own page; use `logIn`"),
    "account.getInfo": Row("partly", "id, username and plan; nothing on billing"),
    "account.listRoot": E,
    "account.accessToken.create": E,
    "account.accessToken.get": E,
    "account.accessToken.revoke": E,
    "user.search": E,
    "user.get": E,
    "path.search": Row("emulated", "text is looked for in name and description"),
    "path.get": E,
    "path.rename": E,
    "path.move": E,
    "path.trash": E,
    "path.recover": E,
    "path.delete": E,
    "path.editMetadata": E,
    "path.editPublicAccess": Row("emulated", "the client itself fails where `access` is None, as it is by default"),
    "path.favorite": E,
    "path.unfavorite": E,
    "path.folder.add": E,
    "path.folder.listFolder": E,
    "path.folder.traverse": E,
    "path.hashtag.add": E,
    "path.hashtag.delete": E,
    "path.hashtag.search": E,
    "path.invite.send": Row("partly", "no mail is sent; an address stands for the user of that name"),
    "path.invite.accept": E,
    "path.invite.decline": E,
    "path.invite.revoke": E,
    "path.invite.getYourInvites": E,
    "path.invite.getPathInvites": E,
    "path.member.get": E,
    "path.member.edit": E,
    "path.member.delete": E,
    "path.usage.getActiveUsers": E,
    "path.usage.getUsage": Row("partly", "units are counted by rules of our own"),
    "path.usage.getAggregatedUsage": Row("partly", "units are counted by rules of our own"),
    "path.usage.getUserUsage": Row("partly", "your own usage only"),
    "path.file.add": Row("emulated", "the client itself fails with `memFile`"),
    "path.file.download": E,
    "path.file.addCsv": E,
    "path.file.getCsv": E,
    "path.file.addJson": E,
    "path.file.getJson": E,
    "path.file.addPickle": E,
    "path.file.getPickle": E,
    "path.bookmark.add": NOT,
    "path.bookmark.get": NOT,
    "path.bookmark.edit": NOT,
    "path.setUpTask.get": NOT,
    "path.setUpTask.copernicusImport": NOT,
    "path.setUpTask.fileImport": Row("not", "the client itself fails before it asks"),
    "path.raster.add": E,
    "path.raster.edit": KEPT,
    "path.raster.editBand": E,
    "path.raster.style.add": STYLE,
    "path.raster.style.edit": STYLE,
    "path.raster.style.delete": STYLE,
    "path.raster.timestamp.add": Row("partly", "`remote=True` is refused"),
    "path.raster.timestamp.edit": E,
    "path.raster.timestamp.trash": E,
    "path.raster.timestamp.recover": E,
    "path.raster.timestamp.delete": E,
    "path.raster.timestamp.activate": E,
    "path.raster.timestamp.deactivate": E,
    "path.raster.timestamp.getBounds": E,
    "path.raster.timestamp.getRaster": E,
    "path.raster.timestamp.getSampledRaster": E,
    "path.raster.timestamp.contour": Row(
        "emulated", "the client itself works for float rasters only, and gives rows as x"
    ),
    "path.raster.timestamp.getLocationInfo": Row("emulated", "the client itself does not reproject with `epsg`"),
    "path.raster.timestamp.analyse": Row("partly", "the statistics are of our choice"),
    "path.raster.timestamp.file.add": Row("partly", "files of the formats that GDAL reads; `remoteInfo` is refused"),
    "path.raster.timestamp.file.get": UPLOADS,
    "path.raster.timestamp.file.download": E,
    "path.raster.timestamp.file.trash": E,
    "path.raster.timestamp.file.recover": E,
    "path.raster.timestamp.file.delete": E,
    "path.raster.timestamp.order.add": ORDER,
    "path.raster.timestamp.order.get": ORDER,
    "path.raster.timestamp.order.download": ORDER,
    "path.vector.add": E,
    "path.vector.editFilter": NOT,
    "path.vector.editRendering": VECTOR_STYLE,
    "path.vector.style.add": VECTOR_STYLE,
    "path.vector.style.edit": VECTOR_STYLE,
    "path.vector.style.delete": VECTOR_STYLE,
    "path.vector.featureProperty.add": E,
    "path.vector.featureProperty.edit": E,
    "path.vector.featureProperty.trash": E,
    "path.vector.featureProperty.recover": E,
    "path.vector.timestamp.add": Row("partly", "`properties` have no effect"),
    "path.vector.timestamp.edit": E,
    "path.vector.timestamp.trash": E,
    "path.vector.timestamp.recover": E,
    "path.vector.timestamp.delete": E,
    "path.vector.timestamp.activate": E,
    "path.vector.timestamp.deactivate": E,
    "path.vector.timestamp.getBounds": E,
    "path.vector.timestamp.getChanges": E,
    "path.vector.timestamp.getFeaturesByExtent": E,
    "path.vector.timestamp.getFeaturesByIds": E,
    "path.vector.timestamp.listFeatures": E,
    "path.vector.timestamp.getLocationInfo": E,
    "path.vector.timestamp.feature.add": Row("emulated", "the client itself fails for columns of times: send texts"),
    "path.vector.timestamp.feature.edit": E,
    "path.vector.timestamp.feature.trash": E,
    "path.vector.timestamp.feature.recover": E,
    "path.vector.timestamp.feature.versions": E,
    "path.vector.timestamp.feature.message.add": MESSAGE,
    "path.vector.timestamp.feature.message.get": MESSAGE,
    "path.vector.timestamp.feature.message.getImage": MESSAGE,
    "path.vector.timestamp.feature.message.trash": MESSAGE,
    "path.vector.timestamp.feature.message.recover": MESSAGE,
    "path.vector.timestamp.feature.series.add": SERIES,
    "path.vector.timestamp.feature.series.get": SERIES,
    "path.vector.timestamp.feature.series.info": SERIES,
    "path.vector.timestamp.feature.series.changelog": SERIES,
    "path.vector.timestamp.feature.series.trash": SERIES,
    "path.vector.timestamp.feature.series.recover": SERIES,
    "path.vector.timestamp.file.add": Row("partly", "`dateColumns`, `datePatterns`, `fastUpload` have no effect"),
    "path.vector.timestamp.file.get": UPLOADS,
    "path.vector.timestamp.file.download": E,
    "path.vector.timestamp.file.revert": E,
    "path.vector.timestamp.file.recover": E,
    "path.vector.timestamp.file.delete": E,
    "path.vector.timestamp.order.add": ORDER,
    "path.vector.timestamp.order.get": ORDER,
    "path.vector.timestamp.order.download": ORDER,
    "path.pointCloud.add": CLOUD,
    "path.pointCloud.timestamp.add": CLOUD,
    "path.pointCloud.timestamp.edit": CLOUD,
    "path.pointCloud.timestamp.trash": CLOUD,
    "path.pointCloud.timestamp.recover": CLOUD,
    "path.pointCloud.timestamp.delete": CLOUD,
    "path.pointCloud.timestamp.activate": CLOUD,
    "path.pointCloud.timestamp.deactivate": CLOUD,
    "path.pointCloud.timestamp.getBounds": CLOUD,
    "path.pointCloud.timestamp.fetchPoints": CLOUD,
    "path.pointCloud.timestamp.file.add": CLOUD,
    "path.pointCloud.timestamp.file.get": CLOUD,
    "path.pointCloud.timestamp.file.download": CLOUD,
    "path.pointCloud.timestamp.file.trash": CLOUD,
    "path.pointCloud.timestamp.file.recover": CLOUD,
    "path.pointCloud.timestamp.file.delete": CLOUD,
    "path.pointCloud.timestamp.order.add": CLOUD,
    "path.pointCloud.timestamp.order.get": CLOUD,
    "path.pointCloud.timestamp.order.download": CLOUD,
    "path.mesh.add": MESH,
    "path.mesh.timestamp.add": MESH,
    "path.mesh.timestamp.edit": MESH,
    "path.mesh.timestamp.delete": MESH,
    "path.mesh.timestamp.activate": MESH,
    "path.mesh.timestamp.deactivate": MESH,
    "path.mesh.timestamp.getBounds": MESH,
    "path.mesh.timestamp.file.add": MESH,
    "path.mesh.timestamp.file.get": MESH,
    "path.mesh.timestamp.file.download": MESH,
    "path.mesh.timestamp.file.trash": MESH,
    "path.mesh.timestamp.file.recover": MESH,
    "path.mesh.timestamp.file.delete": MESH,
    "compute.createCompute": Row("emulated", "the number of nodes is that of local processes"),
    "compute.listComputes": E,
    "compute.execute": Row("emulated", "the client itself fails with `awaitTillCompleted=False`, after it has sent"),
    "compute.terminateCompute": E,
    "compute.terminateAll": Row("emulated", "the client itself waits for the first compute of the list only"),
    "compute.addToLayer": E,
    "util.chunks": LOCAL,
    "util.cover": Row("local", "the client itself fails with pandas 2 and later"),
    "util.cutIntoTiles": Row("local", "the client itself fails with one core, the default"),
    "util.dateToString": Row("local", "the client itself fails"),
    "util.loadingBar": LOCAL,
    "util.mergeGeometriesByColumn": LOCAL,
    "util.parseGlb": LOCAL,
    "util.plotPointCloud": Row("local", "needs open3d, which the client does not bring"),
    "util.plotRaster": LOCAL,
    "util.plotVector": LOCAL,
    "util.reprojectRaster": LOCAL,
    "util.reprojectVector": LOCAL,
    "util.saveRaster": LOCAL,
    "util.saveVector": LOCAL,
    "util.simplifyGeometries": LOCAL,
    "util.stringToDate": LOCAL,
    "util.transformPoint": LOCAL,
}
"""By the name that a script writes after `ellipsis.`; every exported function once."""

HIDDEN: dict[str, Row] = {
    "compute.root.getComputeInfo": E,
    "compute.root.downloadFile": E,
    "path.root.setDomains": KEPT,
    "path.root.listPath": Row("emulated", "deprecated by the client"),
    "path.root.add": Row(
        "not", "deprecated by the client: use `path.folder.add`, `path.raster.add`, `path.vector.add`"
    ),
    "path.vector.root.computeAllVectorTiles": Row("not", "there are no vector tiles"),
}
"""Functions that the client does not export, and that scripts reach all the same."""


def exported(package: ModuleType, prefix: str = "") -> dict[str, Callable[..., Any]]:
    """The functions that a package of the client and those below it export, by the name that scripts write."""
    found: dict[str, Callable[..., Any]] = {}
    for name, value in vars(package).items():
        if inspect.isfunction(value):
            found[prefix + name] = value
        elif inspect.ismodule(value) and hasattr(value, "__path__") and value.__name__ == f"{package.__name__}.{name}":
            found |= exported(value, f"{prefix}{name}.")
    return found


def split(name: str) -> tuple[str, str]:
    """The module and the function."""
    module, _, function = name.rpartition(".")
    return module, function
