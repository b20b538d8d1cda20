"""A site's statistics as a JSON file, to be handed to whoever writes the contract."""

from math import isfinite
from typing import Final

from pydantic import TypeAdapter, ValidationError

from fednode.learning.errors import DataError
from fednode.learning.statistics import SiteStatistics

STATISTICS_BYTES_MAX: Final = 1 << 26
_STATISTICS: Final = TypeAdapter(SiteStatistics)


def encode_statistics(statistics: SiteStatistics) -> bytes:
    """Return the JSON text of a site's statistics; numbers are written without loss."""
    return _STATISTICS.dump_json(statistics, indent=2)


def decode_statistics(data: bytes) -> SiteStatistics:
    """Return the statistics that another site wrote.

    Raises:
        DataError: If the text is not that of statistics, or holds counts or sums that no rows have.
    """
    if len(data) > STATISTICS_BYTES_MAX:
        raise DataError(f"{len(data)} bytes of statistics: at most {STATISTICS_BYTES_MAX}")
    try:
        statistics = _STATISTICS.validate_json(data, strict=True)
    except ValidationError as error:
        raise DataError(f"these are not the statistics of a site: {error}") from error
    if statistics.rows < 1:
        raise DataError(f"statistics of {statistics.rows} rows: expected at least 1")
    for column in statistics.numeric:
        numbers_are_finite = isfinite(column.total) and isfinite(column.squares)
        if not (0 <= column.count <= statistics.rows and numbers_are_finite):
            raise DataError(
                f"column {column.name!r} has count {column.count} of {statistics.rows} rows, sum "
                f"{column.total} and sum of squares {column.squares}: no rows have these"
            )
    for category in statistics.categorical:
        counts = [count for _, count in category.occurrences]
        if min(counts, default=0) < 0 or sum(counts) > statistics.rows:
            raise DataError(
                f"column {category.name!r} counts {sum(counts)} categories in "
                f"{statistics.rows} rows"
            )
    return statistics
