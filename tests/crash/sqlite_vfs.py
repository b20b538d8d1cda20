"""A view on every byte that SQLite writes: a thin layer over its own file system interface.

SQLite reaches files through a table of C functions, the VFS (https://sqlite.org/vfs.html). The
layer here copies the default one and replaces its functions that change files by functions that ask
a `Listener` first, so that the `sqlite3` module of this very process is observed, with no other
build of SQLite in between.
"""

import _sqlite3
import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, TypeAlias

OK: Final = 0
IO_ERROR: Final = 10
FULL: Final = 13
CREATE: Final = 0x00000004
_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int
_OFFSET: Final = ctypes.c_int64


class Listener(Protocol):
    """Is told of each change before it is made; what it returns, if not `OK`, is the outcome."""

    def created(self, path: Path) -> int: ...
    def write(self, path: Path, offset: int, data: bytes) -> int: ...
    def truncate(self, path: Path, size: int) -> int: ...
    def sync(self, path: Path) -> int: ...
    def delete(self, path: Path) -> int: ...


# Names are passed on as the pointers that they are: SQLite keeps them as long as the file is open.
_Open = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER, _INT, _POINTER)
_Delete = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT)
_Write = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _INT, _OFFSET)
_Truncate = ctypes.CFUNCTYPE(_INT, _POINTER, _OFFSET)
_Sync = ctypes.CFUNCTYPE(_INT, _POINTER, _INT)


_Fields: TypeAlias = Sequence[tuple[str, Any] | tuple[str, Any, int]]


class _Vfs(ctypes.Structure):
    """`struct sqlite3_vfs`; functions that stay are plain pointers."""

    _fields_: ClassVar[_Fields] = (
        ("version", _INT),
        ("file_bytes", _INT),
        ("path_max", _INT),
        ("next", _POINTER),
        ("name", ctypes.c_char_p),
        ("data", _POINTER),
        ("open", _Open),
        ("delete", _Delete),
        ("others", _POINTER * 14),
    )


class _Methods(ctypes.Structure):
    """`struct sqlite3_io_methods`."""

    _fields_: ClassVar[_Fields] = (
        ("version", _POINTER),  # an int, padded
        ("close", _POINTER),
        ("read", _POINTER),
        ("write", _Write),
        ("truncate", _Truncate),
        ("sync", _Sync),
        ("others", _POINTER * 13),
    )


class _File(ctypes.Structure):
    """The part of `struct sqlite3_file` that all implementations share."""

    _fields_: ClassVar[_Fields] = (("methods", ctypes.POINTER(_Methods)),)


_LAYERS: "Final[list[_Layer]]" = []
"""All layers there ever were: a connection that outlives its context, in a failure, calls one."""


class _Layer:
    """The replaced functions, and what keeps them alive while SQLite may call them."""

    def __init__(self, original: _Vfs, listener: Listener) -> None:
        self._original = original
        self._listener = listener
        self._methods: dict[int, _Methods] = {}
        self._paths: dict[int, Path] = {}
        self.vfs = _Vfs()
        ctypes.pointer(self.vfs)[0] = original
        self.vfs.name = b"observed"
        self.vfs.open = _Open(self._open)
        self.vfs.delete = _Delete(self._delete)

    def _open(self, _: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        path = None if name is None else _path_at(name)
        is_new = path is not None and flags & CREATE and not path.exists()
        if path is not None and is_new:
            refused = self._listener.created(path)
            if refused != OK:
                return refused
        outcome: int = self._original.open(
            ctypes.addressof(self._original), name, file, flags, out_flags
        )
        opened = _File.from_address(file)
        if outcome == OK and path is not None and opened.methods:
            self._paths[file] = path
            opened.methods = ctypes.pointer(self._observed(opened.methods.contents))
        return outcome

    def _observed(self, original: _Methods) -> _Methods:
        known = self._methods.get(ctypes.addressof(original))
        if known is not None:
            return known
        observed = _Methods()
        ctypes.pointer(observed)[0] = original

        def write(file: int, data: int, size: int, offset: int) -> int:
            content = ctypes.string_at(data, size)
            refused = self._listener.write(self._paths[file], offset, content)
            return refused or original.write(file, data, size, offset)

        def truncate(file: int, size: int) -> int:
            refused = self._listener.truncate(self._paths[file], size)
            return refused or original.truncate(file, size)

        def sync(file: int, flags: int) -> int:
            refused = self._listener.sync(self._paths[file])
            return refused or original.sync(file, flags)

        observed.write, observed.truncate, observed.sync = (
            _Write(write),
            _Truncate(truncate),
            _Sync(sync),
        )
        self._methods[ctypes.addressof(original)] = observed
        return observed

    def _delete(self, _: int, name: int, sync_folder: int) -> int:
        path = _path_at(name)
        refused = self._listener.delete(path) if path.exists() else OK
        return refused or self._original.delete(ctypes.addressof(self._original), name, sync_folder)


@contextmanager
def observed_sqlite(listener: Listener) -> Iterator[None]:
    """Tell `listener` of every change that connections opened in this context make.

    Only where `is_observable`.
    """
    library = _library()
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    original = library.sqlite3_vfs_find(None).contents
    layer = _Layer(original, listener)
    _LAYERS.append(layer)
    library.sqlite3_vfs_register(ctypes.byref(layer.vfs), 1)
    try:
        yield
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(layer.vfs))
        library.sqlite3_vfs_register(ctypes.byref(original), 1)


def _path_at(name: int) -> Path:
    return Path(os.fsdecode(ctypes.string_at(name)))


def is_observable() -> bool:
    """Return whether the functions of this Python's SQLite can be reached."""
    return Path("/proc/self/fd").is_dir() and hasattr(_library(), "sqlite3_vfs_find")


def _library() -> ctypes.CDLL:
    """The module under `sqlite3`: the functions of its SQLite are found from there."""
    return ctypes.CDLL(_sqlite3.__file__)
