"""What `fednode ledger show` says of a block that bans a member (rule P45)."""

from contextlib import redirect_stdout
from io import StringIO

from fednode.cli.ledger import _print_block
from fednode.cli.ledger_views import Content, block_view
from tests.support.evidence import proof
from tests.support.ledger import genesis, keys, stub_chain
from tests.support.members import admit, grown


def test_show_names_the_banned_member_and_what_it_signed_twice() -> None:
    made = stub_chain(1)
    made.add(made.build(evidence=(proof(made, 2, "PROPOSAL"),)))
    content = Content(
        genesis=genesis(made.contract, made.keys),
        blocks=tuple(made.blocks),
        certificate=made.certificate,
    )
    view = block_view(content, made.blocks[1])
    shown = StringIO()

    with redirect_stdout(shown):
        _print_block(content, view)

    assert [(each.member, each.statement, each.height, each.view) for each in view.evidence] == [
        (2, "PROPOSAL", 2, 2)
    ]
    text = " ".join(shown.getvalue().split())
    assert "hospital-2: two different PROPOSAL statements of height 2 view 2" in text


def test_members_who_joined_later_are_shown_by_name() -> None:
    """Rule P81: each JOIN reserves the next number."""
    made = grown()
    number = admit(made, "north again")
    founded = genesis(made.contract, keys(4))

    content = Content(genesis=founded, blocks=tuple(made.blocks), certificate=made.certificate)

    assert content.name_of(number) == "north again"
    assert content.name_of(0) == "hospital-0"
    assert content.name_of(number + 1) == f"member {number + 1}"
