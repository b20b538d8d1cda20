"""Slow twins of the rules: exact on vectors of fractions, and in float64 as papers write them."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor, isqrt

import numpy as np
from numpy.typing import NDArray

Vector = tuple[Fraction, ...]


def mean_of(vectors: Sequence[Vector], weights: Sequence[int]) -> Vector:
    total = sum(weights)
    return tuple(
        sum((Fraction(w) * x for w, x in zip(weights, column, strict=True)), Fraction()) / total
        for column in zip(*vectors, strict=True)
    )


def squared_distance(x: Vector, y: Vector) -> Fraction:
    return sum(((a - b) ** 2 for a, b in zip(x, y, strict=True)), Fraction())


def round_half_up(x: Fraction) -> int:
    return floor(x + Fraction(1, 2))


def mixed_rows(rows: Sequence[Vector], weights: Sequence[int], f: int) -> list[Vector]:
    mixed = []
    for i, row in enumerate(rows):
        rank = sorted(range(len(rows)), key=lambda j: (j != i, squared_distance(row, rows[j]), j))
        nearest = rank[: len(rows) - f]
        chosen = [weights[j] for j in nearest]
        if not any(chosen):
            chosen = [1] * len(chosen)
        mixed.append(mean_of([rows[j] for j in nearest], chosen))
    return mixed


def exact_nnm_geometric_median(rows: Sequence[Vector], weights: Sequence[int], f: int) -> list[int]:
    """The documented roundings on real vectors: distances, radii, weights, one mean at the end."""
    mixed = mixed_rows(rows, weights, f)
    n = len(rows)
    table = [[floor(squared_distance(x, y) * 2**32) for y in mixed] for x in mixed]
    current = list(weights)
    for _ in range(32):
        total = sum(current)
        radii = []
        for i in range(n):
            to_rows = sum(Fraction(current[k] * table[i][k], total) for k in range(n))
            among = sum(
                Fraction(current[k] * current[m] * table[k][m], 2 * total**2)
                for k in range(n)
                for m in range(n)
            )
            radii.append(isqrt(max(0, floor(to_rows - among))))
        smallest = max(1, sorted(radii)[(n - 1) // 2] // 1024)
        current = [w * 2**64 // max(smallest, r) for w, r in zip(weights, radii, strict=True)]
    # Weights on the original rows: what each mixed row passes on, in units of 2**-64.
    units = [tuple(Fraction(int(i == j)) for j in range(n)) for i in range(n)]
    shares = [0] * n
    for i in range(n):
        rank = sorted(range(n), key=lambda j: (j != i, squared_distance(rows[i], rows[j]), j))
        nearest = rank[: n - f]
        chosen = [weights[j] for j in nearest]
        if not any(chosen):
            chosen = [1] * len(chosen)
        for j, share in enumerate(mean_of([units[j] for j in nearest], chosen)):
            shares[j] += floor(current[i] * share * 2**64)
    top = max(shares)
    scaled = shares if top <= 2**24 else [share * 2**24 // top for share in shares]
    total = sum(scaled)
    half = total // 2
    return [
        floor((sum(a * x for a, x in zip(scaled, column, strict=True)) + half) / total)
        for column in zip(*rows, strict=True)
    ]


def float_nnm(
    rows: NDArray[np.float64], weights: NDArray[np.float64], f: int
) -> NDArray[np.float64]:
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : len(rows) - f]
    return np.stack([np.average(rows[k], axis=0, weights=weights[k]) for k in nearest])


def float_geometric_median(
    rows: NDArray[np.float64], weights: NDArray[np.float64], iterations: int
) -> NDArray[np.float64]:
    center = np.average(rows, axis=0, weights=weights)
    for _ in range(iterations):
        radii = np.linalg.norm(rows - center, axis=1)
        radii = np.maximum(radii, np.sort(radii)[(len(rows) - 1) // 2] / 1024)
        center = np.average(rows, axis=0, weights=weights / np.maximum(radii, 2.0**-16))
    return np.asarray(center)


def median(values: Sequence[int], weights: Sequence[int]) -> int:
    """The middle of all values at which the weighted sum of distances is least."""
    known = [(value, w) for value, w in zip(values, weights, strict=True) if w]
    cost = {at: sum(w * abs(value - at) for value, w in known) for at, _ in known}
    best = [at for at, total in cost.items() if total == min(cost.values())]
    return round_half_up(Fraction(min(best) + max(best), 2))


def trimmed_mean(values: Sequence[int], weights: Sequence[int], f: int) -> int:
    kept = sorted(zip(values, weights, strict=True))[f : len(values) - f]
    if not any(w for _, w in kept):
        kept = [(value, 1) for value, _ in kept]
    total = sum(w for _, w in kept)
    return floor(Fraction(sum(value * w for value, w in kept) + total // 2, total))


def krum_order(rows: Sequence[Vector], f: int) -> list[int]:
    """Rows from the most to the least trusted."""
    scores = []
    for row in rows:
        others = sorted(squared_distance(row, other) for other in rows)
        scores.append(sum(others[: len(rows) - f]))
    return sorted(range(len(rows)), key=lambda i: (scores[i], i))


def float_centered_clipping(
    rows: NDArray[np.float64], weights: NDArray[np.float64], steps: int
) -> NDArray[np.float64]:
    n = len(rows)
    table = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    center = rows[np.argmin(np.sort(table, axis=1)[:, n // 2])]
    for _ in range(steps):
        differences = rows - center
        lengths = np.linalg.norm(differences, axis=1)
        radius = np.sort(lengths)[(n - 1) // 2]
        shares = np.minimum(1, radius / np.maximum(lengths, 2.0**-32))
        center = center + np.average(differences * shares[:, None], axis=0, weights=weights)
    return np.asarray(center)
