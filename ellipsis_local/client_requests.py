"""The client's functions that are one request: signature, method, address, what is sent (seen in client 3.3.12).

Behind the address stands what goes into the body, or the query of a GET: arguments by their names, `key=argument`, or a
constant. ``<a,b>`` stands for several functions, and ``<>`` in the address for the same word. What has no such
list is sent without one. A line without a request runs in the caller's own process, and is not here. The functions that
have code of their own here stand in a second table, with the request that they are for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from inspect import Parameter, Signature
from typing import Any, NamedTuple

TABLE = """
account.listRoot(rootName, token, pathTypes=None, pageStart=None, listAll=True)
    GET /account/root/{rootName} (pageStart, type=pathTypes)
account.browserLogin()
account.accessToken.create(description, accessList, token, validFor=None)
    POST /account/security/accessToken (description, accessList, validFor, scope='all')
account.accessToken.revoke(accessTokenId, token) DELETE /account/security/accessToken/{accessTokenId}
account.accessToken.get(token, pageStart=None, listAll=False) GET /account/security/accessToken (pageStart)
user.search(username, fuzzySearch=True) GET /user (username, fuzzySearch)
user.get(userId) GET /user/{userId}
path.search(pathTypes=['raster', 'vector', 'file', 'folder'], root=None, text=None, active=None, userId=None,
    pageStart=None, hashtag=None, extent=None, resolution=None, date=None, listAll=False, token=None)
    GET /path (root, text, userId, active, pageStart, hashtag, extent, resolution, date, type=pathTypes)
path.rename(pathId, name, token) PUT /path/{pathId}/name (name)
path.move(pathIds, parentId, token) PUT /path/parentId (pathIds, parentId)
path.trash(pathId, token) PUT /path/{pathId}/trashed (trashed=True)
path.recover(pathId, token) PUT /path/{pathId}/trashed (trashed=False)
path.delete(pathId, token) DELETE /path/{pathId}
path.editMetadata(pathId, token, description=None, attribution=None, licenseString=None, properties=None)
    PATCH /path/{pathId}/metadata (description, attribution, properties, license=licenseString)
path.favorite(pathId, token) PUT /path/{pathId}/favorite (favorite=True)
path.unfavorite(pathId, token) PUT /path/{pathId}/favorite (favorite=False)
path.folder.listFolder(pathId, pathTypes=None, pageStart=None, listAll=True, includeTrashed=False, token=None)
    GET /path/{pathId}/list (pageStart, includeTrashed, type=pathTypes)
path.folder.traverse(pathId, location, pathType, token) GET /path/{pathId}/folder/traverse (location, type=pathType)
path.hashtag.add(pathId, hashtag, token) POST /path/{pathId}/hashtag (hashtag)
path.hashtag.delete(pathId, hashtag, token) DELETE /path/{pathId}/hashtag/{hashtag}
path.hashtag.search(hashtag) GET /path/hashtag (hashtag)
path.invite.send(pathId, access, token, userId=None, email=None, sendMail=None)
    POST /path/{pathId}/invite (userId, email, access, sendMail)
path.invite.accept(pathId, inviteId, token) POST /path/{pathId}/invite/{inviteId}/accept (accept=True)
path.invite.decline(pathId, inviteId, token) POST /path/{pathId}/invite/{inviteId}/accept (accept=False)
path.invite.revoke(pathId, inviteId, token) DELETE /path/{pathId}/invite/{inviteId}
path.invite.getYourInvites(token) GET /path/invite
path.invite.getPathInvites(pathId, token) GET /path/{pathId}/invite
path.member.get(pathId, token=None, memberType=['inherited', 'direct']) GET /path/{pathId}/member (type=memberType)
path.member.edit(pathId, userId, access, token) PATCH /path/{pathId}/member/{userId} (access)
path.member.delete(pathId, userId, token) DELETE /path/{pathId}/member/{userId}
path.usage.getActiveUsers(pathId, token, listAll=True, pageStart=None) GET /path/{pathId}/usage/user (pageStart)
path.usage.getUsage(pathId, userId, token) GET /path/{pathId}/usage/user/{userId}/processingUnits
path.usage.getAggregatedUsage(pathId, loggedIn, token) GET /path/{pathId}/usage/processingUnits (loggedIn)
path.usage.getUserUsage(userId, date, token) GET /path/usage/user/{userId}/processingUnits (date)
path.root.setDomains(pathId, token, domains) PUT /path/{pathId}/domain (domains)
path.root.add(pathType, name, token, parentId=None, publicAccess=None, metadata=None) POST /path
path.vector.root.computeAllVectorTiles(pathId, timestampId, token)
    POST /path/{pathId}/vector/timestamp/{timestampId}/precompute/completeVectorTile
path.bookmark.add(name, bookmark, token, parentId=None, publicAccess=None, metadata=None) POST /path/bookmark
path.bookmark.get(pathId, token=None) GET /path/{pathId}/bookmark
path.bookmark.edit(pathId, token, layers=None, dems=None) PATCH /path/{pathId}/bookmark
path.setUpTask.get(token) GET /path/setUpTask
path.setUpTask.copernicusImport(parameters, token) POST /path/setUpTask
path.setUpTask.fileImport(token, memFile=None, parentId=None, filePath=None, fileFormat='geopackage', name=None)
    POST /path/setUpTask

path.raster.edit(pathId, token, interpolation=None, includesTransparent=None, compressionQuality=None)
    PATCH /path/{pathId}/raster (interpolation, includesTransparent, compressionQuality)
path.raster.editBand(pathId, bandNumber, name, token) PUT /path/{pathId}/raster/band/{bandNumber}/name (name)
path.<raster,vector>.style.add(pathId, name, parameters, token, default=True, method=None) POST /path/{pathId}/<>/style
path.raster.style.edit(pathId, styleId, method, parameters, token, name=None, default=None)
    PATCH /path/{pathId}/raster/style/{styleId}
path.vector.style.edit(pathId, styleId, token, name=None, method=None, parameters=None, default=None)
    PATCH /path/{pathId}/vector/style/{styleId}
path.<raster,vector>.style.delete(pathId, styleId, token) DELETE /path/{pathId}/<>/style/{styleId}
path.vector.editFilter(pathId, propertyFilter, token) POST /path/{pathId}/vector/filter
path.vector.editRendering(pathId, token, maxZoom=None, properties=None) PUT /path/{pathId}/vector/renderOptions
path.vector.featureProperty.add(pathId, name, featurePropertyType, token, private=False, required=False)
    POST /path/{pathId}/vector/property (name, private, required, type=featurePropertyType)
path.vector.featureProperty.edit(pathId, featurePropertyId, token, private=False, required=False)
    PATCH /path/{pathId}/vector/property/{featurePropertyId} (private, required)
path.vector.featureProperty.trash(pathId, featurePropertyId, token)
    PUT /path/{pathId}/vector/property/{featurePropertyId}/trashed (trashed=True)
path.vector.featureProperty.recover(pathId, featurePropertyId, token)
    PUT /path/{pathId}/vector/property/{featurePropertyId}/trashed (trashed=False)

path.<pointCloud,mesh>.add(name, token, parentId=None, publicAccess=None, metadata=None) POST /path/<>
path.<pointCloud,mesh>.timestamp.add(pathId, token, description=None, date=None) POST /path/{pathId}/<>/timestamp
path.<raster,pointCloud,mesh>.timestamp.edit(pathId, timestampId, token, date=None, description=None)
    PATCH /path/{pathId}/<>/timestamp/{timestampId} (date, description)
path.vector.timestamp.edit(pathId, timestampId, token, description=None, date=None)
    PATCH /path/{pathId}/vector/timestamp/{timestampId} (date, description)
path.<raster,vector,pointCloud>.timestamp.trash(pathId, timestampId, token)
    PUT /path/{pathId}/<>/timestamp/{timestampId}/trashed (trashed=True)
path.<raster,vector,pointCloud>.timestamp.recover(pathId, timestampId, token)
    PUT /path/{pathId}/<>/timestamp/{timestampId}/trashed (trashed=False)
path.<raster,vector,pointCloud,mesh>.timestamp.delete(pathId, timestampId, token)
    DELETE /path/{pathId}/<>/timestamp/{timestampId}
path.<pointCloud,mesh>.timestamp.activate(pathId, timestampId, token)
    POST /path/{pathId}/<>/timestamp/{timestampId}/activate
path.<pointCloud,mesh>.timestamp.deactivate(pathId, timestampId, token)
    POST /path/{pathId}/<>/timestamp/{timestampId}/deactivate
path.<pointCloud,mesh>.timestamp.getBounds(pathId, timestampId, token=None)
    GET /path/{pathId}/<>/timestamp/{timestampId}/bounds
path.pointCloud.timestamp.fetchPoints(pathId, timestampId, extent, token=None, epsg=3857, zoom=None, showProgress=True)
    GET /path/{pathId}/pointCloud/timestamp/{timestampId}/tile

path.pointCloud.timestamp.file.add(pathId, timestampId, token, fileFormat, filePath=None, memFile=None, name=None,
    epsg=None) POST /path/{pathId}/pointCloud/timestamp/{timestampId}/file
path.mesh.timestamp.file.add(pathId, timestampId, token, fileFormat=None, filePath=None, memFile=None, name=None)
    POST /path/{pathId}/mesh/timestamp/{timestampId}/file
path.<pointCloud,mesh>.timestamp.file.get(pathId, timestampId, token, pageStart=None, listAll=True)
    GET /path/{pathId}/<>/timestamp/{timestampId}/file
path.<pointCloud,mesh>.timestamp.file.download(pathId, timestampId, fileId, filePath, token)
    GET /path/{pathId}/<>/timestamp/{timestampId}/file/{fileId}/data
path.<raster,pointCloud,mesh>.timestamp.file.trash(pathId, timestampId, fileId, token)
    PUT /path/{pathId}/<>/timestamp/{timestampId}/file/{fileId}/trashed (trashed=True)
path.<raster,pointCloud,mesh>.timestamp.file.recover(pathId, timestampId, fileId, token)
    PUT /path/{pathId}/<>/timestamp/{timestampId}/file/{fileId}/trashed (trashed=False)
path.<raster,vector,pointCloud,mesh>.timestamp.file.delete(pathId, timestampId, fileId, token)
    DELETE /path/{pathId}/<>/timestamp/{timestampId}/file/{fileId}
path.vector.timestamp.file.revert(pathId, timestampId, fileId, token)
    POST /path/{pathId}/vector/timestamp/{timestampId}/file/{fileId}/revert (revert=True)
path.vector.timestamp.file.recover(pathId, timestampId, fileId, token)
    POST /path/{pathId}/vector/timestamp/{timestampId}/file/{fileId}/revert (revert=False)
path.raster.timestamp.order.add(pathId, timestampId, token, extent=None, epsg=4326, mask=None)
    POST /path/{pathId}/raster/timestamp/{timestampId}/order
path.vector.timestamp.order.add(pathId, timestampId, token, extent=None, fileFormat='geojson', epsg=4326)
    POST /path/{pathId}/vector/timestamp/{timestampId}/order
path.pointCloud.timestamp.order.add(pathId, timestampId, token, extent=None, epsg=4326)
    POST /path/{pathId}/pointCloud/timestamp/{timestampId}/order
path.<raster,vector,pointCloud>.timestamp.order.get(token) GET /path/<>/timestamp/order
path.<raster,vector,pointCloud>.timestamp.order.download(orderId, filePath, token)
    GET /path/<>/timestamp/order/{orderId}/data

path.vector.timestamp.feature.message.add(pathId, timestampId, featureId, token, text=None, image=None)
    POST /path/{pathId}/vector/timestamp/{timestampId}/feature/{featureId}/message
path.vector.timestamp.feature.message.get(pathId, timestampId, featureIds=None, userId=None, messageIds=None,
    listAll=True, deleted=False, extent=None, pageStart=None, token=None)
    GET /path/{pathId}/vector/timestamp/{timestampId}/feature/message
path.vector.timestamp.feature.message.getImage(pathId, timestampId, messageId, token=None)
    GET /path/{pathId}/vector/timestamp/{timestampId}/feature/message/{messageId}/image
path.vector.timestamp.feature.message.trash(pathId, timestampId, messageId, token)
    PUT /path/{pathId}/vector/timestamp/{timestampId}/feature/message/{messageId}/trashed (trashed=True)
path.vector.timestamp.feature.message.recover(pathId, timestampId, messageId, token)
    PUT /path/{pathId}/vector/timestamp/{timestampId}/feature/message/{messageId}/trashed (trashed=False)
path.vector.timestamp.feature.series.add(pathId, timestampId, seriesData, token, featureId=None, showProgress=True,
    uploadAsFile=False) POST /path/{pathId}/vector/timestamp/{timestampId}/feature/series/element
path.vector.timestamp.feature.series.get(pathId, timestampId, featureId, pageStart=None, dateTo=None, userId=None,
    seriesProperty=None, deleted=False, listAll=True, token=None)
    GET /path/{pathId}/vector/timestamp/{timestampId}/feature/{featureId}/series/element
path.vector.timestamp.feature.series.info(pathId, timestampId, featureId, token=None)
    GET /path/{pathId}/vector/timestamp/{timestampId}/feature/{featureId}/series/info
path.vector.timestamp.feature.series.changelog(pathId, timestampId, featureId, listAll=False, actions=None,
    userId=None, pageStart=None, token=None)
    GET /path/{pathId}/vector/timestamp/{timestampId}/feature/{featureId}/series/changelog
path.vector.timestamp.feature.series.trash(pathId, timestampId, featureId, seriesIds, token, showProgress=True)
    PUT /path/{pathId}/vector/timestamp/{timestampId}/feature/{featureId}/series/element/trashed (trashed=True)
path.vector.timestamp.feature.series.recover(pathId, timestampId, featureId, seriesIds, token, showProgress=True)
    PUT /path/{pathId}/vector/timestamp/{timestampId}/feature/{featureId}/series/element/trashed (trashed=False)
path.vector.timestamp.getLocationInfo(pathId, timestampId, locations, epsg=4326, token=None)
    GET /path/{pathId}/vector/timestamp/{timestampId}/location (locations, epsg)

util.chunks(l, n=3000)
util.cover(bounds, width)
util.cutIntoTiles(features, zoom, cores=1, buffer=0)
util.dateToString(date)
util.loadingBar(count, total)
util.mergeGeometriesByColumn(features, columnName, cores=1)
util.parseGlb(stream)
util.plotPointCloud(df, method='cloud', width=800, height=600, scale=0.003)
util.plotRaster(raster)
util.plotVector(features)
util.reprojectRaster(r, sourceExtent, targetExtent, targetWidth, targetHeight, sourceEpsg, targetEpsg,
    interpolation='nearest')
util.reprojectVector(features, targetEpsg, cores=1)
util.simplifyGeometries(features, tolerance, preserveTopology=True, removeIslands=True, cores=1)
util.stringToDate(date)
util.transformPoint(point, sourceEpsg, targetEpsg)
"""

OWN = """
account.logIn POST /account/login
account.getInfo GET /account
path.get GET /path/{pathId}
path.editPublicAccess PATCH /path/{pathId}/publicAccess
path.root.listPath GET /path/{pathId}/list
path.<folder,raster,vector>.add POST /path/<>
path.file.<add,addCsv,addJson,addPickle> POST /path/file
path.file.<download,getCsv,getJson,getPickle> GET /path/{pathId}/file/data
path.<raster,vector>.timestamp.add POST /path/{pathId}/<>/timestamp
path.<raster,vector>.timestamp.activate POST /path/{pathId}/<>/timestamp/{timestampId}/activate
path.<raster,vector>.timestamp.deactivate POST /path/{pathId}/<>/timestamp/{timestampId}/deactivate
path.<raster,vector>.timestamp.getBounds GET /path/{pathId}/<>/timestamp/{timestampId}/bounds
path.raster.timestamp.getRaster GET /path/{pathId}/raster/timestamp/{timestampId}/tile/{z}/{x}/{y}
path.raster.timestamp.<getSampledRaster,contour> GET /path/{pathId}/raster/timestamp/{timestampId}/rasterByExtent
path.raster.timestamp.getLocationInfo GET /path/{pathId}/raster/timestamp/{timestampId}/location
path.raster.timestamp.analyse GET /path/{pathId}/raster/timestamp/analyse
path.<raster,vector>.timestamp.file.add POST /path/{pathId}/<>/timestamp/{timestampId}/file
path.raster.timestamp.file.get GET /path/{pathId}/raster/timestamp/{timestampId}/file
path.vector.timestamp.file.get GET /path/{pathId}/vector/timestamp/{timestampId}/upload
path.<raster,vector>.timestamp.file.download GET /path/{pathId}/<>/timestamp/{timestampId}/file/{fileId}/data
path.vector.timestamp.listFeatures GET /path/{pathId}/vector/timestamp/{timestampId}/listFeatures
path.vector.timestamp.getFeaturesByExtent GET /path/{pathId}/vector/timestamp/{timestampId}/featuresByExtent
path.vector.timestamp.getFeaturesByIds GET /path/{pathId}/vector/timestamp/{timestampId}/featuresByIds
path.vector.timestamp.getChanges GET /path/{pathId}/vector/timestamp/{timestampId}/changelog
path.vector.timestamp.feature.add POST /path/{pathId}/vector/timestamp/{timestampId}/feature
path.vector.timestamp.feature.edit PATCH /path/{pathId}/vector/timestamp/{timestampId}/feature
path.vector.timestamp.feature.<trash,recover> PUT /path/{pathId}/vector/timestamp/{timestampId}/feature/trashed
path.vector.timestamp.feature.versions GET /path/{pathId}/vector/timestamp/{timestampId}/feature/{featureId}/version
compute.createCompute POST /compute
compute.listComputes GET /compute
compute.root.getComputeInfo GET /compute
compute.execute POST /compute/{computeId}/execute
compute.<terminateCompute,terminateAll> POST /compute/{computeId}/terminate
compute.root.downloadFile GET /compute/{computeId}/file/{fileId}
compute.addToLayer GET /compute/{computeId}/file/{fileId}
util.<saveRaster,saveVector>
"""

LINE = re.compile(r"([\w.]+)\((.*?)\)(?: ([A-Z]+) ([^ ]+)(?: \((.*)\))?)?")
SEVERAL = re.compile(r"<(.+?)>")


class Row(NamedTuple):
    """One function; `method` and `address` are empty where it is no request."""

    name: str
    signature: Signature
    method: str
    address: str
    sent: Mapping[str, Any]
    """What is sent, by its key: a `Name` of an argument, or a constant."""


class Name(str):
    """The name of an argument."""


def rows() -> Iterator[Row]:
    """The first table, a row per function."""
    return map(_row, _lines(TABLE))


def requests_by_function() -> dict[str, tuple[str, str]]:
    """Both tables: by function the method and address of the request that it is for; empty where there is none."""
    own = ((*line.split(" "), "", "")[:3] for line in _lines(OWN))
    return {row.name: (row.method, row.address) for row in rows()} | {
        name: (method, address) for name, method, address in own
    }


def _lines(table: str) -> Iterator[str]:
    for entry in re.findall(r"^\S.*(?:\n +.*)*", table, re.MULTILINE):
        line = " ".join(entry.split())
        several = SEVERAL.search(line)
        for word in several[1].split(",") if several else [""]:
            yield line.replace(several[0], word).replace("<>", word) if several else line


def _row(line: str) -> Row:
    match = LINE.fullmatch(line)
    assert match is not None, line  # noqa: S101 - the table is ours
    name, parameters, method, address, sent = match.groups(default="")
    return Row(name, _signature(parameters), method, address, _sent(sent))


def _signature(text: str) -> Signature:
    given = _parsed(f"lambda {text}: 0").args
    missing = [Parameter.empty] * (len(given.args) - len(given.defaults))
    defaults = [*missing, *map(ast.literal_eval, given.defaults)]
    kind = Parameter.POSITIONAL_OR_KEYWORD
    pairs = zip(given.args, defaults, strict=True)
    return Signature([Parameter(one.arg, kind, default=default) for one, default in pairs])


def _sent(text: str) -> dict[str, Any]:
    call = _parsed(f"f({text})")
    named = {one.arg: one.value for one in call.keywords}
    return {one.id: Name(one.id) for one in call.args} | {
        key: Name(value.id) if isinstance(value, ast.Name) else value.value for key, value in named.items()
    }


def _parsed(text: str) -> Any:
    return ast.parse(text, mode="eval").body
