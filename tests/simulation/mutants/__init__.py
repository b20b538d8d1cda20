"""Faults planted on purpose: the checkers count only because they find them.

Each mutant is a context manager that patches the running program and undoes it afterwards.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from tests.simulation.mutants import hosting, judging, voting
from tests.simulation.mutants.hosting import no_entry_proof, publish_first
from tests.simulation.mutants.judging import no_evidence, quorum_half
from tests.simulation.mutants.voting import no_lock

__all__ = [
    "MUTANTS",
    "Plant",
    "no_entry_proof",
    "no_evidence",
    "no_lock",
    "publish_first",
    "quorum_half",
]

Plant = Callable[[], AbstractContextManager[None]]

MUTANTS: Final[dict[str, Plant]] = {
    each.__name__: each
    for each in (
        hosting.believed_results,
        hosting.bodies_later,
        hosting.forgotten_lock,
        hosting.forgotten_proof,
        hosting.lost_record,
        hosting.no_entry_proof,
        hosting.no_rebroadcast,
        hosting.publish_first,
        hosting.unsaved_block,
        judging.bans_ignored,
        judging.cap_by_one,
        judging.empty_at_once,
        judging.evidence_believed,
        judging.float_mean,
        judging.garbage_believed,
        judging.mean_for_median,
        judging.no_chain_id,
        judging.no_evidence,
        judging.no_metrics,
        judging.no_tag,
        judging.old_powers,
        judging.one_judges,
        judging.one_list_vouches,
        judging.quorum_half,
        judging.quorum_of_two_thirds,
        judging.root_without_scores,
        judging.seen_certificate,
        judging.unsorted_updates,
        voting.certificate_believed,
        voting.certificate_without_power,
        voting.counted_heads,
        voting.nil_unlocks,
        voting.no_certificate,
        voting.no_lock,
        voting.no_lock_again,
        voting.no_lock_fresh,
        voting.repeated_vote,
        voting.unsigned_valid_view,
        voting.view_jump,
    )
}
