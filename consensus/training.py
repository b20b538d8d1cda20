"""The own trainer: when it trains, and which headers it signs for what it trained (rule P10)."""

from dataclasses import replace
from typing import Final

from consensus.desk import Desk
from consensus.effects import Train, UpdateTrained
from consensus.messages import UpdateMessage
from ledger.inclusion import disqualification, opens_for_training
from ledger.keys import Signed
from ledger.records import Codec, UpdateHeader

LATE_HEIGHTS: Final = 4
"""Heights for which a header that comes too late still says that its trainer is alive (P11)."""


class Training:
    """Trains once per model; offers what is trained again while its model is the current one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: tuple[int, bytes] | None = None

    def begin_height(self) -> Signed[UpdateHeader] | None:
        """Ask for training, or offer what is trained already; return the header offered.

        Never trains again what is signed: after a restart, when the last height ended EMPTY, or
        when the body came too late for it, it counts under its header or a new one (P10, P60).
        """
        desk = self._desk
        member = desk.member
        if member is None or desk.signer is None or not desk.is_signing:
            return None
        state = desk.state
        is_trainer = desk.contract.members[member].is_trainer
        if not is_trainer or not opens_for_training(desk.contract, state):
            return None
        stored = desk.signer.stored_update()
        is_lost = stored is not None and stored.statement.update_id in desk.lost_updates
        if is_lost and stored is not None and stored.statement.height >= desk.height:
            # Whoever has its body lists it; another one for this height would contradict it.
            return None
        if stored is not None and not is_lost:
            header = replace(stored.statement, height=desk.height)
            if disqualification(desk.contract, state, header) is None:
                return self._offer(header)
        wanted = state.training_round + 1, state.model_id
        if self._asked != wanted:
            self._asked = wanted
            desk.emit(Train(height=desk.height, training_round=wanted[0], base_model_id=wanted[1]))
        return None

    def trained(self, result: UpdateTrained) -> Signed[UpdateHeader] | None:
        """Sign the header of a trained update; return it when it may count at this height.

        One that is ready too late counts at this height if its base is not too far behind (rule
        P10); else it is signed for the height it was trained for: a sign of life, so that it is
        waited for next time (rule P11). One that is ready in time, while a late one has this
        height's place, is dropped: the trainer has caught up, and trains on the next model.
        """
        desk = self._desk
        assert desk.signer is not None, "who was asked to train has a key"
        assert desk.member is not None, "who was asked to train has a number"
        stored = desk.signer.stored_update()
        if stored is not None and stored.statement.height >= desk.height:
            return None
        released = 0 if stored is None else stored.statement.releases
        header = UpdateHeader(
            trainer=desk.member,
            height=desk.height,
            training_round=result.training_round,
            base_model_id=result.base_model_id,
            update_id=result.update_id,
            codec=Codec.INT32,
            n_elements=result.n_elements,
            releases=released + 1,
        )
        if disqualification(desk.contract, desk.state, header) is None:
            return self._offer(header)
        if desk.height - LATE_HEIGHTS <= result.height < desk.height:
            self._offer(replace(header, height=result.height))
        return None

    def _offer(self, header: UpdateHeader) -> Signed[UpdateHeader] | None:
        signed = self._desk.sign(header)
        if signed is not None:
            self._desk.publish(UpdateMessage(update=signed))
        return signed
