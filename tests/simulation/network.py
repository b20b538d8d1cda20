"""The simulated network: what becomes of one packet on one link at one instant."""

from random import Random

from tests.simulation.settings import Settings

HEALED_DELAY_MS = 20
TAIL_SHARE = 0.02
TAIL_FACTOR = 100
REPLAY_MS_MAX = 20_000


class Network:
    """Loses, copies, delays and cuts; after `heal` it delivers everything within a short delay."""

    def __init__(self, settings: Settings, rng: Random) -> None:
        self._settings = settings
        self._rng = rng
        self._cuts: dict[int, frozenset[tuple[int, int]]] = {}
        self._is_healed = False
        self.dropped = 0
        self.sent = 0

    def delays(self, source: int, target: int) -> tuple[int, ...]:
        """Delay in ms of each copy that arrives; empty when the packet is lost."""
        self.sent += 1
        random = self._rng.random
        if self._is_healed:
            return (1 + int(random() * HEALED_DELAY_MS),)
        settings = self._settings
        is_cut = bool(self._cuts) and any((source, target) in cut for cut in self._cuts.values())
        if is_cut or (settings.loss and random() < settings.loss):
            self.dropped += 1
            return ()
        delay = 1 + int(random() * 2 * settings.delay_ms)
        if settings.has_heavy_tail and random() < TAIL_SHARE:
            delay *= 1 + int(random() * TAIL_FACTOR)
        if settings.duplication and random() < settings.duplication:
            # A copy may come very late: it is also the replay of an old statement.
            late = REPLAY_MS_MAX if random() < 0.1 else 2 * settings.delay_ms
            return (delay, delay + int(random() * late))
        return (delay,)

    def cut(self, name: int, links: frozenset[tuple[int, int]]) -> None:
        """Drop everything on the directed `links` until `join` with the same name."""
        self._cuts[name] = links

    def join(self, name: int) -> None:
        """End a cut."""
        self._cuts.pop(name, None)

    def heal(self) -> None:
        """End all faults of the network for good."""
        self._is_healed = True
        self._cuts.clear()


def draw_cut(rng: Random, members: int) -> frozenset[tuple[int, int]]:
    """Draw the directed links of a partition: three shapes, symmetric or one way only."""
    match rng.choice(("size", "coin", "single")):
        case "size":
            left = set(rng.sample(range(members), rng.randint(1, members - 1)))
        case "coin":
            left = {member for member in range(members) if rng.random() < 0.5}
        case _:
            left = {rng.randrange(members)}
    right = set(range(members)) - left
    links = {(a, b) for a in left for b in right}
    if rng.random() < 0.5:
        return frozenset(links)
    return frozenset(links | {(b, a) for a, b in links})
