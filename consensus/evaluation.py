"""The own METRICS: the newest model is evaluated once, and what is said of it is signed (P16)."""

from consensus.desk import Desk
from consensus.judging import Evaluate, Evaluated
from consensus.messages import MetricsMessage
from ledger.feedback import metrics_problem, reporter_problem
from ledger.keys import Signed
from ledger.membership import public_keys_at
from ledger.metrics import MetricsReport


class Evaluation:
    """Judges the newest model on the own hold-out rows, if this member has some."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked = 0
        self._result: Evaluated | None = None

    def begin_height(self) -> None:
        """Say again what is signed about the newest model, or have that model evaluated.

        After a restart a model is not judged again: the slot holds what was said (rule P60).
        """
        desk = self._desk
        judged = desk.state.judged
        if desk.member is None or desk.signer is None or not desk.is_signing or not judged:
            return
        if reporter_problem(desk.contract, desk.state, desk.member) is not None:
            return
        stored, newest = desk.signer.stored_metrics(), judged[-1]
        if stored is not None:
            desk.hear_metrics(stored)
        self._sign()
        is_said = any(each.member == desk.member for each in newest.figures)
        is_signed = stored is not None and stored.statement.height >= newest.height
        is_open = not is_said and not is_signed and self._has_key_of(newest.height + 1)
        if is_open and self._asked < newest.height:
            self._asked = newest.height
            desk.emit(
                Evaluate(height=newest.height, model_id=newest.model_id, best_id=newest.best_id)
            )

    def evaluated(self, result: Evaluated) -> None:
        """Sign and publish what the own rows say; kept while this node may not sign."""
        self._result = result
        self._sign()

    def _sign(self) -> None:
        desk, result = self._desk, self._result
        if result is None or desk.member is None or not desk.is_signing:
            return
        report = MetricsReport(
            height=result.height,
            model_id=result.model_id,
            best_id=result.best_id,
            value=result.value,
            best_value=result.best_value,
        )
        self._result = None
        unsigned = Signed(statement=report, signer=desk.member, signature=b"")
        if metrics_problem(desk.contract, desk.state, unsigned) is not None:
            return  # too late: so many further models are decided, or the base returned
        if not self._has_key_of(report.said_at):
            return  # the key was rotated meanwhile: nobody could count these figures
        signed = desk.sign(report, is_optional=True)
        if signed is None:
            return
        desk.hear_metrics(signed)
        desk.publish(MetricsMessage(metrics=signed))

    def _has_key_of(self, height: int) -> bool:
        """Whether the own key in force is the one of a height (rule P3)."""
        desk = self._desk
        assert desk.member is not None, "an observer judges no model"
        then = public_keys_at(desk.state.membership, height)
        return then[desk.member] == desk.public_keys[desk.member]
