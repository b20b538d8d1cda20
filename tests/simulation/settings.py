"""What one seed draws: the contract's numbers, and which faults are on (each independently)."""

from dataclasses import dataclass, replace
from typing import Literal

from tests.simulation.chance import make_random

STRATEGIES = (
    "equivocator",
    "echoer",
    "favourer",
    "favourer",
    "amnesiac",
    "nuller",
    "silent",
    "wrong_aggregate",
    "withholder",
    "slow",
    "whisperer",
)
FEEDBACK_SHARE = 0.5
"""Share of the seeds in which members judge models (rule P16)."""
REPORTERS_SHARE = 0.8
"""Share of the validators of such a seed that do."""
SLANDER_SHARE = 0.5
"""Share of the liars of such a seed that tell false figures, whatever else they do."""
ENDING_SHARE = 0.2
"""Share of the seeds whose training ends within the run, and with it the chain (rule P15)."""
RARER_STRATEGIES = (
    "censor",
    "clock_pusher",
    "farmer",
    "impersonator",
    "late_revealer",
    "replayer",
    "twin",
    "vote_omitter",
)
RARER_SHARE = 0.5
"""In so many of the seeds that have no other liar, one follows one of these."""
STUMBLE_SHARE = 0.2
"""Share of the seeds in which nodes crash soon after they enter a later view."""
POISONED_SHARE = 0.5
"""Of the full-node seeds with a liar and a budget for it: its updates harm."""
DIVERGING_SHARE = 0.2
"""Share of the full-node seeds with feedback in which training makes models worse."""
TRIGGERS = ("always", "always", "p=0.5", "heights=2-4", "views=0")
Profile = Literal["mixed", "consensus", "full"]
"""Which seeds run with Ed25519 and the ledger's store: one in `REAL_EVERY`, none, or all."""
REAL_EVERY = 20
"""One seed in so many runs with Ed25519 and the ledger's store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that makes one run; equal settings give equal runs."""

    seed: int
    validators: int = 4
    spectators: int = 0
    byzantine_budget: int = 1
    trainer_budget: int = 1
    samples: tuple[int, ...] = (100, 100, 100, 100)
    byzantine: tuple[tuple[int, str], ...] = ()
    is_real: bool = False
    loss: float = 0.0
    duplication: float = 0.0
    delay_ms: int = 10
    has_heavy_tail: bool = False
    has_echo: bool = False
    skews_ms: tuple[int, ...] = (0, 0, 0, 0)
    partitions: int = 0
    pauses: int = 0
    crashes: int = 0
    power_cuts: int = 0
    stragglers: int = 0
    sleepers: int = 0
    stumbles: int = 0
    reporters: tuple[int, ...] = ()
    slanderers: tuple[int, ...] = ()
    has_contents: bool = False
    poisoners: tuple[int, ...] = ()
    is_diverging: bool = False
    patience: int = 2
    training_rounds: int = 200
    faulty_ms: int = 0
    heights: int = 5

    def skew_ms(self, member: int) -> int:
        """How far a member's clock is off; whoever joins has the clock of a founder."""
        return self.skews_ms[member % len(self.skews_ms)]

    @property
    def is_learning(self) -> bool:
        """Whether bodies have contents, which takes a real store."""
        return self.is_real and self.has_contents

    @property
    def members(self) -> int:
        """Number of members; the last `spectators` of them train and do not vote."""
        return self.validators + self.spectators


def draw_settings(seed: int, *, heights: int = 5, profile: Profile = "mixed") -> Settings:
    """Draw the swarm of one seed: every fault is on or off by a coin of its own."""
    rng = make_random(f"settings/{seed}")
    validators = rng.choice((4, 4, 4, 4, 7))
    spectators = int(rng.random() < 0.1)
    members = validators + spectators
    tolerated = (validators - 1) // 3
    budget = rng.choice((tolerated, tolerated, tolerated, 0))
    is_unequal = rng.random() < 0.5
    liars = rng.randint(1, budget) if budget and rng.random() < 0.6 else 0
    # A stream of its own: with feedback a seed keeps its other faults.
    judging = make_random(f"feedback/{seed}")
    has_feedback = judging.random() < FEEDBACK_SHARE
    has = {name: rng.random() < 0.5 for name in ("loss", "copies", "tail", "skew", "slow")}
    drawn = Settings(
        seed=seed,
        validators=validators,
        spectators=spectators,
        byzantine_budget=budget,
        trainer_budget=rng.randint(0, min(budget, (members - 1) // 3)),
        samples=tuple(
            rng.choice((10, 50, 100, 1000)) if is_unequal else 100 for _ in range(members)
        ),
        byzantine=tuple(
            (member, rng.choice(STRATEGIES))
            for member in sorted(rng.sample(range(validators), liars))
        )
        or _rarer_liars(seed, validators if budget else 0),
        is_real=profile == "full" or (profile == "mixed" and seed % REAL_EVERY == REAL_EVERY - 1),
        loss=rng.uniform(0.0, 0.3) if has["loss"] else 0.0,
        duplication=rng.uniform(0.0, 0.5) if has["copies"] else 0.0,
        delay_ms=rng.choice((1, 10, 100)),
        has_heavy_tail=has["tail"],
        has_echo=rng.random() < 0.2,
        skews_ms=tuple(rng.randint(-3000, 3000) if has["skew"] else 0 for _ in range(members)),
        partitions=rng.randint(1, 4) if rng.random() < 0.5 else 0,
        pauses=rng.randint(1, 3) if rng.random() < 0.3 else 0,
        crashes=rng.randint(1, 6) if rng.random() < 0.5 else 0,
        power_cuts=int(rng.random() < 0.15),
        stragglers=int(has["slow"]),
        faulty_ms=rng.randint(2_000, 8_000),
        heights=heights,
        reporters=tuple(each for each in range(validators) if judging.random() < REPORTERS_SHARE)
        if has_feedback
        else (),
        patience=judging.randint(1, 3),
        training_rounds=judging.randint(3, 8) if judging.random() < ENDING_SHARE else 200,
        sleepers=int(rng.random() < 0.15),
    )
    drawn = _with_slander(_with_stumbles(drawn))
    return _with_learning(drawn) if drawn.is_real else drawn


def _with_stumbles(drawn: Settings) -> Settings:
    """Draw crashes on entering a view, and whisperers that say nothing again, by another chance."""
    rng = make_random(f"stumbles/{drawn.seed}")
    parts = (
        (member, "mumbler" if part == "whisperer" and rng.random() < 0.5 else part)
        for member, part in drawn.byzantine
    )
    stumbles = rng.randint(1, 3) if rng.random() < STUMBLE_SHARE else 0
    return replace(drawn, byzantine=tuple(parts), stumbles=stumbles)


def _with_slander(drawn: Settings) -> Settings:
    """Draw who lies about models, by a chance of its own."""
    rng = make_random(f"slander/{drawn.seed}")
    liars = [member for member, _ in drawn.byzantine if rng.random() < SLANDER_SHARE]
    return replace(drawn, slanderers=tuple(each for each in liars if each in drawn.reporters))


def _with_learning(drawn: Settings) -> Settings:
    """Draw what matters only where updates have contents, by a chance of its own."""
    rng = make_random(f"learning/{drawn.seed}")
    is_poisoned = rng.random() < POISONED_SHARE
    liars = tuple(member for member, _ in drawn.byzantine)
    return replace(
        drawn,
        has_contents=True,
        poisoners=liars[:1] if is_poisoned and drawn.trainer_budget else (),
        is_diverging=bool(drawn.reporters) and rng.random() < DIVERGING_SHARE,
    )


def _rarer_liars(seed: int, validators: int) -> tuple[tuple[int, str], ...]:
    """Where no liar was drawn: sometimes one of another kind, by a chance of its own."""
    rng = make_random(f"rarer/{seed}")
    if not validators or rng.random() >= RARER_SHARE:
        return ()
    part = f"{rng.choice(RARER_STRATEGIES)}:{rng.choice(TRIGGERS)}"
    return ((rng.randrange(validators), part),)
