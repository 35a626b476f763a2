"""Random messages of any protobuf type: every field, at its limits, set or not."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

T = TypeVar("T", bound=Message)

_KINDS = FieldDescriptor
_TEXTS = ["", "laser", "quiet", "nobody", "\x00", "x" * 300, "é\n", "x" * 64]
_BYTES = [b"", b"?", b"!", b"\x18", b"$I\n", b"G1 X10\n", b"M112\n", b"\xff" * 65, b"x" * 5000]


def messages(kind: type[T]) -> st.SearchStrategy[T]:
    """Return messages of that kind."""
    descriptor: Any = kind.DESCRIPTOR  # of either implementation of protobuf
    groups: list[list[FieldDescriptor]] = [list(oneof.fields) for oneof in descriptor.oneofs]
    grouped = {field.name for group in groups for field in group}
    groups += [[field] for field in descriptor.fields if field.name not in grouped]
    chosen = [st.one_of(st.none(), *(_assignment(field) for field in group)) for group in groups]
    return st.tuples(*chosen).map(lambda assignments: _built(kind, assignments))


def _built(kind: type[T], assignments: tuple[tuple[str, Any] | None, ...]) -> T:
    return kind(**dict(each for each in assignments if each is not None))


def _assignment(field: FieldDescriptor) -> st.SearchStrategy[tuple[str, Any]]:
    values = _values(field)
    if field.is_repeated:
        values = st.lists(values, max_size=70)
    return values.map(lambda value: (field.name, value))


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(GetMessageClass(field.message_type))
    if field.enum_type is not None:
        return st.one_of(
            st.sampled_from([value.number for value in field.enum_type.values]),
            st.sampled_from([-1, 99, 2**31 - 1]),
        )
    if field.type == _KINDS.TYPE_STRING:
        return st.one_of(st.sampled_from(_TEXTS), st.text(max_size=20))
    if field.type == _KINDS.TYPE_BYTES:
        return st.one_of(st.sampled_from(_BYTES), st.binary(max_size=80))
    if field.type == _KINDS.TYPE_BOOL:
        return st.booleans()
    return _numbers(field)


def _numbers(field: FieldDescriptor) -> st.SearchStrategy[int]:
    least, most = {
        _KINDS.TYPE_UINT32: (0, 2**32 - 1),
        _KINDS.TYPE_UINT64: (0, 2**64 - 1),
        _KINDS.TYPE_INT32: (-(2**31), 2**31 - 1),
        _KINDS.TYPE_INT64: (-(2**63), 2**63 - 1),
    }[field.type]
    return st.one_of(st.integers(0, 20), st.sampled_from([least, most]), st.integers(least, most))
