"""User objects to frames and back: pickle protocol 5, large buffers apart.

Plain pickle goes first, since it is five times faster than cloudpickle. It would name
what is defined in `__main__` instead of carrying it, and an engine's `__main__` is
another one, so a pickle in which that word occurs is made again by value; a false alarm
costs only time.
"""

import pickle
from collections.abc import Callable, Sequence
from typing import Any

APART = 16 << 10
"""Bytes. Buffers below this are cheaper inside the pickle than as frames of their
own."""

Dumps = Callable[..., bytes]


class Unpicklable(TypeError):
    """An object cannot be sent; `where` says which one."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)
        self.where = where
        self.why = why

    def __str__(self) -> str:
        return f"{self.where} cannot be sent: {self.why}"


def dumps(value: Any, dump: Dumps | None = None) -> list[Any]:
    """The frames of a value: the pickle, then its large buffers, uncopied."""
    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: pickle copies it
            return True
        if raw.nbytes < APART:
            return True
        buffers.append(raw)
        return False

    if dump is not None:
        return [dump(value, protocol=5, buffer_callback=keep_inside), *buffers]
    try:
        body = pickle.dumps(value, protocol=5, buffer_callback=keep_inside)
        plain = b"__main__" not in body
    except Exception:  # noqa: BLE001  any class may raise anything; cloudpickle decides
        plain = False
    if not plain:
        import cloudpickle  # a tenth of an engine's start, and seldom needed there

        buffers.clear()
        body = cloudpickle.dumps(value, protocol=5, buffer_callback=keep_inside)
    return [body, *buffers]


def dumps_whole(value: Any) -> bytes:
    """The pickle in one piece, by value where `dumps` makes it so."""
    try:
        body = pickle.dumps(value, protocol=5)
        plain = b"__main__" not in body
    except Exception:  # noqa: BLE001  as above
        plain = False
    if not plain:
        import cloudpickle

        body = cloudpickle.dumps(value, protocol=5)
    return body


def dumps_call(
    function: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    dump: Dumps | None = None,
) -> list[Any]:
    """The frames of a call; if one part cannot be sent, the error names it."""
    try:
        return dumps((function, tuple(args), kwargs), dump)
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        parts = {f"The function {name}": function}
        parts |= {f"Argument {i} of {name}": arg for i, arg in enumerate(args)}
        parts |= {f"Argument {key!r} of {name}": arg for key, arg in kwargs.items()}
        raise named(parts, error, dump) from error


def dumps_names(values: dict[str, Any], dump: Dumps | None = None) -> list[Any]:
    """The frames of named values; if one cannot be sent, the error names it."""
    try:
        return dumps(values, dump)
    except Exception as error:
        parts = {f"The value of {key!r}": value for key, value in values.items()}
        raise named(parts, error, dump) from error


def named(parts: dict[str, Any], error: Exception, dump: Dumps | None) -> Unpicklable:
    """The error again, with the name of the first part that cannot be sent alone."""
    for where, part in parts.items():
        try:
            dumps(part, dump)
        except Exception as why:  # noqa: BLE001  any class may raise anything here
            return Unpicklable(where, f"{type(why).__name__}: {why}")
    return Unpicklable("The request", f"{type(error).__name__}: {error}")


def loads(frames: Sequence[Any]) -> Any:
    """The value in some frames. Writable where its buffers are."""
    return pickle.loads(frames[0], buffers=frames[1:])


def dumps_result(value: Any, name: str) -> list[Any]:
    """The frames of a result; if it cannot be sent, the error says whose result it
    is."""
    try:
        return dumps(value)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise Unpicklable(f"The result of {name}", why) from error


def dumps_error(error: BaseException) -> bytes:
    """The pickle of an exception, or nothing: then its text has to do."""
    try:
        body = bytes(dumps(error)[0])
        pickle.loads(body)  # many exceptions can be pickled, but not unpickled
    except Exception:  # noqa: BLE001  users' classes run here
        return b""
    return body


def pickle_whole(value: Any, **_: Any) -> bytes:
    """A pickle in one piece, for small things."""
    import cloudpickle

    return cloudpickle.dumps(value, protocol=5)  # type: ignore[no-any-return]
