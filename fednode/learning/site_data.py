"""From a data specification to the rows of each site: training rows, hold-out and test set."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fednode.learning.data_spec import DataSpec
from fednode.learning.dataset import Dataset, check_trainable
from fednode.learning.errors import DataError
from fednode.learning.learner import RowSet
from fednode.learning.preprocessing import preprocess
from fednode.learning.rows import Rows
from fednode.learning.sources import read_rows
from fednode.learning.splits import hold_out, split_sites
from ledger.genesis import Feature

# Each use of the seed draws from its own stream, so that a hold-out does not change the split.
_TEST_STREAM, _SPLIT_STREAM, _HOLD_OUT_STREAM = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The rows of one site; those held out and the common test set may be absent."""

    name: str
    training: Rows
    hold_out: Rows | None
    test: Rows | None


def load_sites(spec: DataSpec) -> tuple[Site, ...]:
    """Return all sites in the source: of the split, of the site column, or the one that it is.

    The common test set is taken before the split, each site's hold-out after it.

    Raises:
        DataError: If the data cannot be read, split or held out as described.
    """
    rows, test = _take_test(spec)
    return tuple(_build_site(name, part, test, spec) for name, part in _parts(rows, spec).items())


def load_site(spec: DataSpec) -> Site:
    """Return the rows of the member's own site, `spec.site`.

    Raises:
        DataError: As `load_sites`, or if there is no such site.
    """
    sites = {site.name: site for site in load_sites(spec)}
    if not spec.site and len(sites) == 1:
        return next(iter(sites.values()))
    if spec.site not in sites:
        raise DataError(f"{spec.source} has no site {spec.site!r}: it has {', '.join(sites)}")
    return sites[spec.site]


def site_datasets(
    site: Site, features: tuple[Feature, ...], *, allow_one_class: bool = False
) -> Mapping[RowSet, Dataset]:
    """Return the model's inputs of a site by the contract's features.

    Raises:
        DataError: If the training rows lack a feature, are none, or have one label only and that
            is not allowed.
    """
    data: dict[RowSet, Dataset] = {"training": preprocess(site.training, features)}
    name = f"site {site.name}" if site.name else "this site"
    check_trainable(data["training"], name, allow_one_class=allow_one_class)
    if site.hold_out is not None:
        data["hold_out"] = preprocess(site.hold_out, features)
    if site.test is not None:
        data["test"] = preprocess(site.test, features)
    return data


def _take_test(spec: DataSpec) -> tuple[Rows, Rows | None]:
    if spec.test_source and spec.test_fraction:
        raise DataError("a test file and a share for the test set are both given: choose one")
    rows = read_rows(spec.source, spec)
    if spec.test_source:
        return rows, read_rows(spec.test_source, spec)
    if not spec.test_fraction:
        return rows, None
    rng = np.random.default_rng([spec.seed, _TEST_STREAM])
    kept, held = hold_out(rows.labels, spec.test_fraction, rng)
    return rows.take(kept), rows.take(held)


def _parts(rows: Rows, spec: DataSpec) -> dict[str, Rows]:
    if spec.split and spec.site_column:
        raise DataError("a split and a site column are both given: choose one")
    if spec.split:
        rng = np.random.default_rng([spec.seed, _SPLIT_STREAM])
        parts = split_sites(rows.labels, spec.split, spec.sites, rng)
        return {str(number): rows.take(part) for number, part in enumerate(parts)}
    if spec.site_column:
        names = sorted(set(rows.sites.tolist()))
        return {name: rows.take(np.flatnonzero(rows.sites == name)) for name in names}
    return {spec.site: rows}


def _build_site(name: str, rows: Rows, test: Rows | None, spec: DataSpec) -> Site:
    if not spec.hold_out_fraction:
        return Site(name=name, training=rows, hold_out=None, test=test)
    rng = np.random.default_rng([spec.seed, _HOLD_OUT_STREAM])
    kept, held = hold_out(rows.labels, spec.hold_out_fraction, rng)
    if not len(held):
        raise DataError(
            f"site {name or spec.source} has {len(rows)} rows: too few to hold out "
            f"{spec.hold_out_fraction} of them"
        )
    return Site(name=name, training=rows.take(kept), hold_out=rows.take(held), test=test)
