"""What users write about attackers and kills is read or refused with a reason."""

import pytest

from fednode.errors import ConfigError
from fednode.testnet.plan import Kill, attacks_by_member, check_kills, parse_kill


@pytest.mark.parametrize("text", ["", "2", "@5", "2@", "two@5", "-1@5", "2@5@6", "²@5"])
def test_kill_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a member and a height, as in 2@5"):
        parse_kill(text)


def test_member_to_kill_must_exist() -> None:
    check_kills((Kill(member=3, height=1),), 4)

    with pytest.raises(ConfigError, match="names member 4: expected 0 to 3"):
        check_kills((Kill(member=4, height=1),), 4)


def test_attacks_are_written_for_their_members() -> None:
    attacks = attacks_by_member(("sign-flip@0", "sign-flip:2.5@3"), 4)

    assert attacks == {0: "sign-flip:10", 3: "sign-flip:2.5"}


@pytest.mark.parametrize(
    ("attackers", "reason"),
    [
        (("sign-flip@4",), "names member 4: expected 0 to 3"),
        (("sign-flip@1", "sign-flip:2@1"), "member 1 has an attack already"),
    ],
)
def test_impossible_attackers_are_refused(attackers: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        attacks_by_member(attackers, 4)
