"""Judges models by other figures than its own (rule P16)."""

from dataclasses import replace
from hashlib import sha256

from typing_extensions import override

from consensus.messages import Message, MetricsMessage
from ledger.metrics import METRIC_MAX, MetricsReport
from tests.byzantine.actors.actor import Actor

LIES = ("false", "unknown", "ahead", "two-faced")


class Slanderer(Actor):
    """Calls good models bad and the other way round, judges models that nobody made, and tells
    different members different figures; which of these it does is drawn for each model.
    """

    name = "slanderer"

    @override
    def publish(self, message: Message) -> None:
        if not isinstance(message, MetricsMessage) or message.metrics.signer != self.stage.number:
            self.stage.say(message)
            return
        self.acts += 1
        report = message.metrics.statement
        lie = LIES[report.model_id[0] % len(LIES)]
        if lie == "two-faced":
            self._tell_both(report)
        else:
            self.stage.say(self._signed(_bent(report, lie)))

    def _tell_both(self, report: MetricsReport) -> None:
        """Praise to one half, and to the rest the contrary; then the contrary to all."""
        praise = self._signed(replace(report, value=METRIC_MAX, best_value=-METRIC_MAX))
        contrary = self._signed(replace(report, value=-METRIC_MAX, best_value=METRIC_MAX))
        for target in range(self.stage.members):
            self.stage.say_to(target, praise if target in self.stage.half else contrary)

    def _signed(self, report: MetricsReport) -> MetricsMessage:
        return MetricsMessage(metrics=self.stage.raw_sign(report))


def _bent(report: MetricsReport, lie: str) -> MetricsReport:
    other = sha256(report.model_id).digest()
    match lie:
        case "false":
            return replace(report, value=report.best_value, best_value=report.value)
        case "unknown":
            return replace(report, model_id=other, best_id=sha256(other).digest())
        case _:
            return replace(report, height=report.height + 1, model_id=other)
