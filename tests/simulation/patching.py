"""Replacing functions of the running program for a while."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType

PACKAGES = ("consensus", "fednode", "ledger", "tests")


def replaced(
    original: Callable[..., object], mutant: Callable[..., object]
) -> AbstractContextManager[None]:
    """Put `mutant` wherever a module of ours holds the function `original`."""
    return all_replaced({original: mutant})


@contextmanager
def all_replaced(mutants: Mapping[Callable[..., object], Callable[..., object]]) -> Iterator[None]:
    """Put the mutant of each function wherever a module of ours holds that function."""
    originals = {id(original): original for original in mutants}
    places = [
        (module, name, originals[id(value)])
        for key, module in list(sys.modules.items())
        if key.partition(".")[0] in PACKAGES
        for name, value in vars(module).items()
        if id(value) in originals
    ]
    found = {original for _, _, original in places}
    assert len(found) == len(mutants), f"nowhere: {[each for each in mutants if each not in found]}"
    for module, name, original in places:
        setattr(module, name, mutants[original])
    try:
        yield
    finally:
        for module, name, original in places:
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
