"""What answers hold, for the description at /openapi.json alone: they describe, and `wire.Answer` renders.

The tests hold every answer that they receive to them, so that a key that is not here fails there.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field, WithJsonSchema

from ellipsis_local.server.request_models import UUID_SCHEMA
from ellipsis_local.types import FileStatus, PathType

T = TypeVar("T")
Uuid = Annotated[str, WithJsonSchema(UUID_SCHEMA)]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Number = float | int | None
LayerStatus = Literal["created", "active", "passive"]
ComputeStatus = Literal[
    "queued", "starting", "available", "executing", "completed", "errored", "stopping", "stopped"
]  # fmt: skip
NodeState = Literal["queued", "ready", "waiting", "executing", "completed", "failed", "stopped"]


class Error(BaseModel):
    """Why a request was refused, in the words that the client raises as ValueError (seen in the client)."""

    message: str


class Done(BaseModel):
    """Nothing but that it is done: an empty object."""


class Made(BaseModel):
    """The id of what was made."""

    id: Uuid


class Page(BaseModel, Generic[T]):
    """A page of a list; `nextPageStart` is the `pageStart` of the next one, null at the end."""

    result: list[T]
    nextPageStart: str | None


class Token(BaseModel):
    """What later requests carry as `Authorization: Bearer TOKEN`."""

    token: str


class NewAccessToken(Made, Token):
    """An access token; its text is never shown again."""


class AccessToken(Made):
    """What is known of an access token, without its text."""

    description: str
    createdAt: Time
    expiresAt: Time | None
    scope: str
    accessList: list[dict[str, Any]] | None = Field(description="`{pathId, access: {accessLevel}}` per path")


class Validity(BaseModel):
    """Whether a token is good."""

    valid: bool


class Plan(BaseModel):
    """What a user may do; `maxComputeNodes` is the number of nodes of a compute that names none."""

    maxComputeNodes: int


class User(BaseModel):
    """A user by name."""

    id: Uuid
    username: str


class Account(User):
    """The user of a token."""

    plan: Plan


class ActiveUser(User):
    """A user of a path, twice: clients differ in where they look (seen in the clients)."""

    user: User


class Owner(BaseModel):
    """Whose a path is; null for what the home's own user added."""

    id: Uuid | None
    username: str | None
    disabled: bool


class Access(BaseModel):
    """How much a user may do with a path: 100 to view it and up to 950, its owner."""

    accessLevel: int


class GrantedAccess(Access):
    """What a member or an invited user may do; other parts of an access object are kept as data."""

    processingUnits: Number = None
    canShare: bool | None = None
    monthlyFee: Number = None


class Invite(BaseModel):
    """An invite that was neither accepted nor declined."""

    id: Uuid
    pathId: Uuid
    user: User
    sender: User
    access: GrantedAccess
    createdAt: Time


class Member(BaseModel):
    """A user who accepted an invite to a path, or to a folder above it."""

    user: User
    type: Literal["direct", "inherited"]
    pathId: Uuid
    access: GrantedAccess
    createdAt: Time


class Usage(BaseModel):
    """Processing units; the rules by which they are counted are our choice."""

    processingUnits: float | int


class DayUsage(Usage):
    """Those of one day."""

    date: str


class Rectangle(BaseModel):
    """An extent: x is easting or longitude, y is northing or latitude."""

    xMin: float
    xMax: float
    yMin: float
    yMax: float


class Span(BaseModel):
    """From and to, in UTC."""

    start: Time = Field(alias="from")
    end: Time = Field(alias="to")


class Availability(BaseModel):
    """Whether a timestamp can be used, and why not (seen in recorded answers)."""

    blocked: bool
    reason: str | None


class Uploads(BaseModel):
    """How many files of a timestamp came to what."""

    completed: int
    errored: int
    pending: int


class TimestampInfo(BaseModel):
    """A state of a layer at one time; its extent is in EPSG:4326."""

    id: Uuid
    status: LayerStatus
    availability: Availability
    trashed: bool
    description: str | None
    date: Span
    extent: Rectangle | None
    files: int
    uploads: Uploads
    totalSize: float = Field(description="gibibytes (inferred)")
    zoom: int | None = Field(description="of the tiles whose pixels are as large as those of the layer")
    tarZoom: int | None = Field(None, description="of rasters; always null here")
    standIn: bool = Field(False, description="the layer was invented until the real one comes (our own)")


class LayerStyle(BaseModel):
    """How a layer is drawn: there is one default style."""

    id: Uuid
    name: str
    default: bool
    method: str | None = None
    parameters: dict[str, Any] | None = None


class Band(BaseModel):
    """A band of a raster; the mask, which tiles have, is the last one (seen in the client)."""

    number: int
    name: str


class RasterInfo(BaseModel):
    """What a raster has besides what all paths have; `format` is the type of its pixels."""

    bands: list[Band]
    format: str | None
    asJpg: bool
    styles: list[LayerStyle]
    timestamps: list[TimestampInfo]
    interpolation: str | None = None
    includesTransparent: bool | None = None
    compressionQuality: int | None = None


class FeatureProperty(BaseModel):
    """A property that the features of a layer may have."""

    id: Uuid
    name: str
    type: str
    required: bool
    private: bool
    trashed: bool


class VectorInfo(BaseModel):
    """What a vector has besides what all paths have."""

    properties: list[FeatureProperty]
    renderOptions: dict[str, Any] | None
    styles: list[LayerStyle]
    timestamps: list[TimestampInfo]


class FileInfo(BaseModel):
    """What a plain file has besides what all paths have."""

    size: int = Field(description="bytes")


class PathInfo(BaseModel):
    """A path: a folder, a raster, a vector or a plain file."""

    id: Uuid
    type: PathType
    name: str
    parentId: Uuid | None
    trashed: bool
    metadata: dict[str, Any]
    publicAccess: dict[str, Any]
    yourAccess: Access
    hashtags: list[str]
    favorite: bool
    userId: Uuid | None
    user: Owner
    raster: RasterInfo | None = None
    vector: VectorInfo | None = None
    file: FileInfo | None = None


class Geometry(BaseModel):
    """A GeoJSON geometry."""

    type: str
    coordinates: list[Any] = []
    geometries: list[Any] = []


class FileDetail(BaseModel):
    """What is known of a file of a timestamp: of every one, of rasters, and of vectors."""

    format: str
    size: int | None = Field(description="bytes of the download")
    options: dict[str, Any]
    bounds: Geometry | None = Field(description="in EPSG:4326")
    crs: str | None = None
    width: int | None = None
    height: int | None = None
    bands: int | None = None
    dtype: str | None = None
    noDataValue: Number = None
    features: int | None = None
    properties: list[str] | None = None


class TimestampFile(BaseModel):
    """A file of a timestamp; one that is errored is no data, and `message` says why."""

    id: Uuid
    name: str
    date: Time
    trashed: bool
    status: FileStatus
    message: str | None
    info: FileDetail


class BandStatistics(BaseModel):
    """Statistics of one band: all of them, or those asked for (which there are is our choice)."""

    min: Number = None
    max: Number = None
    mean: Number = None
    median: Number = None
    deviation: Number = None
    sum: Number = None
    count: int | None = None
    percentiles: list[Number] | None = Field(None, description="0 to 100 %")
    histogram: list[dict[str, Number]] | None = Field(None, description="`{bin, count}`; a bin is its lower edge")


class BandResult(BaseModel):
    """The statistics of a band."""

    band: Band
    statistics: BandStatistics


class Analysis(BaseModel):
    """The statistics of a timestamp."""

    timestamp: Made
    hasData: bool
    approximate: bool
    result: list[BandResult]


class Feature(BaseModel):
    """A GeoJSON feature in EPSG:4326; its id stands in its properties as well (seen in the client)."""

    type: Literal["Feature"]
    id: Uuid
    geometry: Geometry | None
    properties: dict[str, Any]


class FeatureCollection(BaseModel):
    """GeoJSON features."""

    type: Literal["FeatureCollection"]
    features: list[Feature]


class FeaturePage(BaseModel):
    """A page of features; the next one's `pageStart` is an id, or an object with one (seen in recorded answers)."""

    result: FeatureCollection
    size: int
    truncated: bool
    nextPageStart: str | dict[str, str] | None


class Author(BaseModel):
    """Who changed a feature."""

    id: Uuid | None
    username: str | None


class FeatureVersion(BaseModel):
    """What a feature was from a time on."""

    feature: Feature
    date: Time
    user: Author


class FeatureChange(BaseModel):
    """A change of one feature."""

    id: str
    featureId: Uuid
    action: Literal["add", "edit", "trash", "recover"]
    date: Time
    user: Author


class TimestampRef(BaseModel):
    """A timestamp of a layer that a compute works on."""

    pathId: str
    timestampId: str


class NodeInfo(BaseModel):
    """How far a node is (our own)."""

    node: int
    shard: int | None = None
    state: NodeState
    extent: Rectangle | None
    startedAt: Time | None
    seconds: float | None
    resultSize: int | None
    peakMemory: int | None
    machine: str | None
    """Of a cluster, where the node ran."""


class NodeResult(BaseModel):
    """What a node came to: the text of an exception, or JSON text of a value, of a file's id, or of an upload."""

    type: Literal["object", "file", "upload", "exception"]
    value: str


class ComputeInfo(BaseModel):
    """A compute; `result` has a list per node once an execution is over, pickles (base64) for clients that sent one."""

    id: Uuid
    status: ComputeStatus
    message: str
    createdAt: Time
    executions: int
    layers: list[TimestampRef]
    files: list[str]
    interpreter: str
    requirements: list[str]
    largeResult: bool
    enableGpu: bool
    nodes: list[NodeInfo]
    result: list[list[NodeResult] | str] | None = None
