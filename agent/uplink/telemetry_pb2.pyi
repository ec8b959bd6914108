from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Batch(_message.Message):
    __slots__ = ("vehicle", "epoch", "runs", "boots", "drops", "groups", "order", "boottime_delta_ms", "boot_runs", "blobs", "catalogue", "thinned", "settled")
    VEHICLE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    BOOTS_FIELD_NUMBER: _ClassVar[int]
    DROPS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    BOOTTIME_DELTA_MS_FIELD_NUMBER: _ClassVar[int]
    BOOT_RUNS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_FIELD_NUMBER: _ClassVar[int]
    THINNED_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    vehicle: str
    epoch: bytes
    runs: _containers.RepeatedScalarFieldContainer[int]
    boots: _containers.RepeatedCompositeFieldContainer[Boot]
    drops: _containers.RepeatedCompositeFieldContainer[Drop]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    order: _containers.RepeatedScalarFieldContainer[int]
    boottime_delta_ms: _containers.RepeatedScalarFieldContainer[int]
    boot_runs: _containers.RepeatedScalarFieldContainer[int]
    blobs: _containers.RepeatedCompositeFieldContainer[Blob]
    catalogue: bytes
    thinned: _containers.RepeatedCompositeFieldContainer[Drop]
    settled: int
    def __init__(self, vehicle: _Optional[str] = ..., epoch: _Optional[bytes] = ..., runs: _Optional[_Iterable[int]] = ..., boots: _Optional[_Iterable[_Union[Boot, _Mapping[str, object]]]] = ..., drops: _Optional[_Iterable[_Union[Drop, _Mapping[str, object]]]] = ..., groups: _Optional[_Iterable[_Union[Group, _Mapping[str, object]]]] = ..., order: _Optional[_Iterable[int]] = ..., boottime_delta_ms: _Optional[_Iterable[int]] = ..., boot_runs: _Optional[_Iterable[int]] = ..., blobs: _Optional[_Iterable[_Union[Blob, _Mapping[str, object]]]] = ..., catalogue: _Optional[bytes] = ..., thinned: _Optional[_Iterable[_Union[Drop, _Mapping[str, object]]]] = ..., settled: _Optional[int] = ...) -> None: ...

class Catalogue(_message.Message):
    __slots__ = ("shapes",)
    SHAPES_FIELD_NUMBER: _ClassVar[int]
    shapes: _containers.RepeatedCompositeFieldContainer[Shape]
    def __init__(self, shapes: _Optional[_Iterable[_Union[Shape, _Mapping[str, object]]]] = ...) -> None: ...

class Shape(_message.Message):
    __slots__ = ("source", "name", "leaves")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    source: str
    name: str
    leaves: _containers.RepeatedCompositeFieldContainer[Leaf]
    def __init__(self, source: _Optional[str] = ..., name: _Optional[str] = ..., leaves: _Optional[_Iterable[_Union[Leaf, _Mapping[str, object]]]] = ...) -> None: ...

class Leaf(_message.Message):
    __slots__ = ("path", "unit")
    PATH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    path: str
    unit: str
    def __init__(self, path: _Optional[str] = ..., unit: _Optional[str] = ...) -> None: ...

class Boot(_message.Message):
    __slots__ = ("boot", "offsets")
    BOOT_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    boot: bytes
    offsets: _containers.RepeatedCompositeFieldContainer[Offset]
    def __init__(self, boot: _Optional[bytes] = ..., offsets: _Optional[_Iterable[_Union[Offset, _Mapping[str, object]]]] = ...) -> None: ...

class Offset(_message.Message):
    __slots__ = ("from_boottime_ms", "utc_offset_ms", "source")
    FROM_BOOTTIME_MS_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    from_boottime_ms: int
    utc_offset_ms: int
    source: int
    def __init__(self, from_boottime_ms: _Optional[int] = ..., utc_offset_ms: _Optional[int] = ..., source: _Optional[int] = ...) -> None: ...

class Drop(_message.Message):
    __slots__ = ("storage_class", "first", "last", "count", "reason")
    STORAGE_CLASS_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    storage_class: int
    first: int
    last: int
    count: int
    reason: str
    def __init__(self, storage_class: _Optional[int] = ..., first: _Optional[int] = ..., last: _Optional[int] = ..., count: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("source", "name", "kind", "columns", "shape")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    source: str
    name: str
    kind: str
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    shape: int
    def __init__(self, source: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping[str, object]]]] = ..., shape: _Optional[int] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("path", "unit", "presence", "delta", "steps_per_unit", "integer", "real", "flag", "text", "states", "leaf")
    PATH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    STEPS_PER_UNIT_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    path: str
    unit: str
    presence: bytes
    delta: _containers.RepeatedScalarFieldContainer[int]
    steps_per_unit: int
    integer: bool
    real: _containers.RepeatedScalarFieldContainer[float]
    flag: _containers.RepeatedScalarFieldContainer[bool]
    text: _containers.RepeatedScalarFieldContainer[str]
    states: _containers.RepeatedScalarFieldContainer[int]
    leaf: int
    def __init__(self, path: _Optional[str] = ..., unit: _Optional[str] = ..., presence: _Optional[bytes] = ..., delta: _Optional[_Iterable[int]] = ..., steps_per_unit: _Optional[int] = ..., integer: _Optional[bool] = ..., real: _Optional[_Iterable[float]] = ..., flag: _Optional[_Iterable[bool]] = ..., text: _Optional[_Iterable[str]] = ..., states: _Optional[_Iterable[int]] = ..., leaf: _Optional[int] = ...) -> None: ...

class Blob(_message.Message):
    __slots__ = ("record", "path", "media_type", "size", "sha256")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    record: int
    path: str
    media_type: str
    size: int
    sha256: bytes
    def __init__(self, record: _Optional[int] = ..., path: _Optional[str] = ..., media_type: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...
