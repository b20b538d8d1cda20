"""Which bodies stay on the disk (rule P53)."""

from pathlib import Path

from fednode.keeping import BodyKeeper, bodies_of
from ledger.blobs import Blobs
from ledger.bodies import body_id
from tests.support.ledger import Chain, stub_chain


def stored(blobs: Blobs, name: str) -> bytes:
    return blobs.put(name.encode())


def grow(chain: Chain, keeper: BodyKeeper) -> None:
    block = chain.build()
    chain.add(block)
    keeper.prune(block, chain.state)


def test_a_body_that_was_not_included_goes_like_the_others(tmp_path: Path) -> None:
    chain, blobs = stub_chain(0), Blobs(tmp_path)
    keeper = BodyKeeper(blobs, 2)
    unused = stored(blobs, "not included")
    keeper.note(1, unused)

    grow(chain, keeper)
    grow(chain, keeper)
    kept = blobs.has(unused)
    grow(chain, keeper)

    assert kept
    assert not blobs.has(unused)


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """What the last blocks name goes in its turn, and what nobody knows with the head's."""
    chain, blobs = stub_chain(3), Blobs(tmp_path)
    stranger = stored(blobs, "of nobody")
    named = {body_id(body): body for body in (b"of the first", b"of the head")}
    for body in named.values():
        blobs.put(body)
    keeper = BodyKeeper(blobs, 2)
    keeper.resume((), head=3)
    keeper.note(3, *list(named)[1:])

    restarted = BodyKeeper(blobs, 2)
    restarted.resume(chain.blocks[1:], head=3)
    grow(chain, restarted)
    after_one = blobs.ids()
    grow(chain, restarted)

    assert stranger in after_one
    assert blobs.ids() == frozenset()


def test_bodies_of_blocks_before_a_restart_go_in_their_turn(tmp_path: Path) -> None:
    chain, blobs = stub_chain(3), Blobs(tmp_path)
    ids = {each: stored(blobs, f"body {each}") for each in (2, 3)}
    keeper = BodyKeeper(blobs, 2)

    keeper.resume((), head=3)
    for height, body in ids.items():
        keeper._newest[body] = height
    grow(chain, keeper)

    assert not blobs.has(ids[2])
    assert blobs.has(ids[3])


def test_the_current_and_the_best_model_stay_and_without_a_limit_everything(
    tmp_path: Path,
) -> None:
    chain, blobs = stub_chain(2), Blobs(tmp_path)
    unlimited = BodyKeeper(blobs, 0)
    body = stored(blobs, "any")
    unlimited.note(1, body)
    unlimited.prune(chain.blocks[-1], chain.state)
    keeper = BodyKeeper(blobs, 1)
    discarded: list[bytes] = []
    blobs.discard = discarded.append  # type: ignore[method-assign, assignment]

    for _ in range(3):
        grow(chain, keeper)

    assert blobs.has(body)
    best, current = chain.contract.model.initial_model_id, chain.state.model_id
    assert set(bodies_of(chain.blocks[-2])) <= set(discarded)
    assert not {best, current} & set(discarded)
