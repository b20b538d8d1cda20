"""Replacing functions of the running program for a while."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

PACKAGES = ("consensus", "fednode", "ledger", "tests")


@contextmanager
def replaced(original: Callable[..., object], mutant: Callable[..., object]) -> Iterator[None]:
    """Put `mutant` wherever a module of ours holds the function `original`."""
    places = [
        (module, name)
        for key, module in sorted(sys.modules.items())
        if key.partition(".")[0] in PACKAGES
        for name, value in vars(module).items()
        if value is original
    ]
    assert places, f"{original.__name__} is nowhere"
    for module, name in places:
        setattr(module, name, mutant)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, original)


@contextmanager
def attribute_replaced(owner: type | ModuleType, name: str, mutant: object) -> Iterator[None]:
    """Replace a method of a class, or what one module knows by a name."""
    original = vars(owner)[name]
    setattr(owner, name, mutant)
    try:
        yield
    finally:
        setattr(owner, name, original)
