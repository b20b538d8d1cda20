"""The substance of full-node seeds: a problem with a known answer, trained and aggregated for real.

Every member fits the same line, `y = x . OPTIMUM`, to four patients of its own by one step of
gradient descent. The features are orthogonal, so a step takes each coordinate of the error (the
parameters less the optimum) down by a share of its own: `STEP_MIN` to `STEP_MAX` of what it is.

**Why every AGGREGATE must learn.** Without poison its change is a convex combination of included
steps, whatever the weights. A fresh step takes `b e` off a coordinate `e` of the error, `b` from
0.20 to 0.25. One from the model before takes `b e'`, where `e' / e` is from 1 to 2 by induction: no
combination then takes more than half of `e` (so the next ratio is at most 2, too) or less than 0.20
of it, and the squared error becomes at most 0.64 of what it was. After a return to the best model
`e'` may be smaller than `e`, but has its sign: the error still shrinks.

One poisoned update, where the contract budgets for one and so takes three or more, has less than
half of the weight and is far from the others: the honest ones are mixed with honest ones only. With
a budget of one they all become the same point, which is then the geometric median. With a budget of
two the median stays within four radii of their cluster, 4 x 0.07 where some are stale (0.20 to
0.34), and so nearer to the cluster's middle (0.27) than taking nothing off, or twice the error.

`FLOOR` leaves out models so near to the optimum that rounding shows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from consensus.effects import BuildBlock, Train
from consensus.judging import Evaluate, Evaluated
from fednode.aggregation.fixedpoint import dequantize, quantize
from fednode.blockwork import aggregate_bodies, check_update_body, compute_results, load_model
from ledger.blobs import Blobs
from ledger.bodies import (
    SALT_BYTES,
    body_id,
    decode_model_body,
    encode_model_body,
    encode_update_body,
)
from ledger.building import aggregate_results, expected_weights, unchanged_results
from ledger.errors import DecodeError
from ledger.genesis import Contract
from ledger.records import VALUE_MAX, Block, BlockKind, Results, UpdateHeader
from ledger.state import State
from tests.simulation.aggregate import block_of
from tests.simulation.chance import make_random
from tests.simulation.contracts import ELEMENTS, INITIAL_BODY, TENSORS
from tests.simulation.disk import StoreDisk
from tests.simulation.packets import BodyPush, ViolationError
from tests.simulation.settings import Settings

if TYPE_CHECKING:
    from tests.simulation.node import Node

STEP_MIN: Final = 0.20
STEP_MAX: Final = 0.25
"""Shares of the error that a member's step takes away, drawn per member and coordinate."""
DIVERGING_RATE: Final = 11.0
"""Learning rate of the seeds in which training makes models worse, so that members regret them."""
LOSS_RATIO_MAX: Final = 0.65
"""Of the squared error before, after an AGGREGATE without poison; 0.64 and room for rounding."""
FLOOR: Final = ELEMENTS * 1024**2
"""Squared error in quanta below which nothing is asked for."""
POISONS: Final = ("reversed", "huge", "garbage")
MILLIONTHS: Final = 1_000_000

Integers = NDArray[np.int32]
Floats = NDArray[np.float64]


class Problem:
    """What the members of a seed learn from.

    Attributes:
        optimum: The answer, in quanta.
    """

    def __init__(self, settings: Settings) -> None:
        rng = make_random(f"problem/{settings.seed}")
        self._exponent = TENSORS[0].exponent
        self._rate = DIVERGING_RATE if settings.is_diverging else 1.0
        self.optimum = quantize(_draw(rng, -3.0, 3.0), self._exponent)
        signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.float64)
        answer = dequantize(self.optimum, self._exponent, np.float64)
        self._rows = [signs * np.sqrt(_draw(rng, STEP_MIN, STEP_MAX)) for _ in settings.samples]
        self._answers = [(rows * answer).sum(axis=1) for rows in self._rows]

    def step(self, member: int, parameters: Integers) -> Integers:
        """One step of gradient descent on a member's rows, as the change of the parameters."""
        rows, residuals = self._rows[member], self._residuals(member, parameters)
        gradient = (rows * residuals[:, np.newaxis]).mean(axis=0)
        return quantize(-self._rate * gradient, self._exponent)

    def figure(self, member: int, parameters: Integers) -> int:
        """The negative mean squared error on a member's rows, in millionths."""
        return -round(MILLIONTHS * float(np.square(self._residuals(member, parameters)).mean()))

    def error(self, parameters: Integers) -> int:
        """The squared distance to the optimum, in squared quanta."""
        pairs = zip(parameters.tolist(), self.optimum.tolist(), strict=True)
        return sum((value - best) ** 2 for value, best in pairs)

    def _residuals(self, member: int, parameters: Integers) -> Floats:
        values = dequantize(parameters, self._exponent, np.float64)
        residuals: Floats = (self._rows[member] * values).sum(axis=1) - self._answers[member]
        return residuals


class Learning:
    """Real bodies in the real store of each node, and the production aggregation of each."""

    def __init__(self, settings: Settings, counts: Counter[str]) -> None:
        self._settings = settings
        self._problem = Problem(settings)
        # The auditor's own bodies: whatever was made, by whomever.
        self._made: dict[bytes, bytes] = {body_id(INITIAL_BODY): INITIAL_BODY}
        self._counts = counts

    def train(self, node: "Node", order: Train) -> bytes:
        parameters = load_model(node.contract, _blobs(node), order.base_model_id)
        change = self._problem.step(node.member, parameters)
        salt = sha256(b"%d %d %d" % (node.member, order.height, node.incarnation)).digest()
        if node.member not in self._settings.poisoners:
            return self._put(node, encode_update_body(salt, TENSORS, _bytes(change)))
        kind = make_random(f"poison/{self._settings.seed}/{order.height}").choice(POISONS)
        return self._put(node, _poisoned(kind, salt, change))

    def build(self, node: "Node", order: BuildBlock, *, is_wrong: bool = False) -> Block:
        results = self._results(node, order)
        if is_wrong:
            model = load_model(node.contract, _blobs(node), results.model_id)
            wrong = encode_model_body(TENSORS, _bytes(np.where(model > 0, model - 1, model + 1)))
            results = replace(results, model_id=self._put(node, wrong))
        return block_of(node.contract, node.state, order, results)

    def recomputes(self, node: "Node", block: Block) -> bool:
        return block.header.results == self._results(node, block)

    def keep_model(self, node: "Node", block: Block) -> None:
        if block.header.kind is BlockKind.AGGREGATE:
            # Its aggregation stored the body.
            model_id = block.header.results.model_id
            node.disk.bodies.add(model_id)
            if model_id not in self._made:
                self._made[model_id] = _blobs(node).get(model_id)

    def evaluate(self, node: "Node", asked: Evaluate) -> Evaluated:
        def figure(model_id: bytes) -> int:
            model = load_model(node.contract, _blobs(node), model_id)
            return self._problem.figure(node.member, model)

        return Evaluated(
            height=asked.height,
            model_id=asked.model_id,
            best_id=asked.best_id,
            value=figure(asked.model_id),
            best_value=figure(asked.best_id),
        )

    def other_body(self, node: "Node", update_id: bytes) -> bytes:
        # The same after another salt, so that it harms only if the first one does.
        body = _blobs(node).get(update_id)
        return self._put(node, sha256(update_id).digest() + body[SALT_BYTES:])

    def push_of(self, node: "Node", body_id: bytes) -> BodyPush:
        return BodyPush(body_id=body_id, body=_blobs(node).get(body_id))

    def keep(self, node: "Node", push: BodyPush) -> bool:
        if body_id(push.body) != push.body_id:
            return False
        self._put(node, push.body)
        return True

    def is_update(self, node: "Node", header: UpdateHeader) -> bool:
        body = _blobs(node).get(header.update_id)
        try:
            check_update_body(node.world.contract, header, body)
        except DecodeError:
            self._counts["garbage"] += 1
            return False
        return True

    def audit(self, contract: Contract, parent: State, block: Block) -> None:
        height = block.header.height
        if block.header.kind is BlockKind.EMPTY:
            expected = unchanged_results(parent)
        else:
            counted = expected_weights(contract, parent, block.haves, block.updates, block.evidence)
            bodies = [self._made[update.statement.update_id] for update, _ in counted]
            weights = [weight for _, weight in counted]
            flags, model = aggregate_bodies(contract, weights, self._made[parent.model_id], bodies)
            expected = aggregate_results(
                counted, flags, model_id=body_id(model), optimizer_id=parent.optimizer_id
            )
            self._counts["flagged"] += sum(each.flagged for each in expected.contributions)
        if block.header.results != expected:
            raise ViolationError(f"validity: results of height {height} are wrong")
        if block.header.kind is BlockKind.AGGREGATE and not self._settings.is_diverging:
            self._check_learned(parent, block)

    def _check_learned(self, parent: State, block: Block) -> None:
        before, after = (
            self._problem.error(_integers(decode_model_body(self._made[each], TENSORS)))
            for each in (parent.model_id, block.header.results.model_id)
        )
        if before <= FLOOR:
            return
        is_plain = not self._settings.poisoners and not parent.returns
        if after >= before * (LOSS_RATIO_MAX if is_plain else 1.0):
            raise ViolationError(
                f"learning: height {block.header.height} takes the squared error"
                f" from {before} to {after}"
            )
        self._counts["learned"] += 1

    def _results(self, node: "Node", order: BuildBlock | Block) -> Results:
        kind = order.header.kind if isinstance(order, Block) else order.kind
        if kind is BlockKind.EMPTY:
            return unchanged_results(node.state)
        contract, state = node.contract, node.state
        counted = expected_weights(contract, state, order.haves, order.updates, order.evidence)
        return compute_results(contract, state, counted, _blobs(node), NOTHING_CHECKED)

    def _put(self, node: "Node", body: bytes) -> bytes:
        name = _blobs(node).put(body)
        node.disk.bodies.add(name)
        self._made[name] = body
        return name


NOTHING_CHECKED: Final[Mapping[bytes, bytes]] = {}


def _blobs(node: "Node") -> Blobs:
    assert isinstance(node.disk, StoreDisk), "real bodies need the real store"
    assert node.disk.blobs is not None, "a seed whose bodies have contents"
    return node.disk.blobs


def _draw(rng: Random, low: float, high: float) -> Floats:
    return np.array([rng.uniform(low, high) for _ in range(ELEMENTS)])


def _poisoned(kind: str, salt: bytes, change: Integers) -> bytes:
    """The body of an update that harms: ten steps back, as far as can be, or no update at all."""
    match kind:
        case "reversed":
            values = np.clip(-10 * change, -VALUE_MAX, VALUE_MAX).astype(np.int32)
        case "huge":
            values = np.where(change > 0, -VALUE_MAX, VALUE_MAX).astype(np.int32)
        case _:
            return salt + b"no table"
    return encode_update_body(salt, TENSORS, _bytes(values))


def _bytes(values: Integers) -> bytes:
    return values.astype("<i4").tobytes()


def _integers(values: memoryview) -> Integers:
    return np.frombuffer(values, dtype="<i4")
