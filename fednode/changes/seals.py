"""The network key for newcomers, and for the next keys of those who are here (rules P81, P90)."""

from pathlib import Path

from fednode.changes.outlook import Outlook
from fednode.config import GENESIS_NAME, NETWORK_KEY_NAME
from fednode.errors import ConfigError
from fednode.founding.genesis_files import load_genesis, read_public_file, save_genesis
from fednode.founding.keys import MemberKey
from fednode.founding.membership import open_for_any, own_keys
from fednode.founding.network_key import recipients_of, seal_for
from ledger.membership import Standing


def write_invitation(outlook: Outlook, number: int, folder: Path) -> tuple[Path, Path]:
    """Write the files that a newcomer needs beside its `node.toml`.

    Args:
        outlook: The sponsor's view.
        number: The newcomer's number.
        folder: Where the files go; made if it is not there.

    Returns:
        The genesis file and the file of the network key.

    Raises:
        ConfigError: If that member is gone, or a file cannot be read or written.
    """
    record = outlook.state.membership.members[number]
    if record.standing not in (Standing.PENDING, Standing.ACTIVE):
        raise ConfigError(
            f"expected a member, or one to be admitted, got {record.member.name!r}, which is "
            f"{record.standing.name.lower()}"
        )
    genesis, network_key = folder / GENESIS_NAME, folder / NETWORK_KEY_NAME
    sealed = seal_for(
        outlook.state.chain_id, [(number, record.member.public_key)], _network_key(outlook)
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        network_key.write_bytes(sealed)
    except OSError as error:
        raise ConfigError(f"cannot write {network_key}: {error.strerror}") from None
    save_genesis(genesis, load_genesis(outlook.config.node.genesis_file))
    return genesis, network_key


def seal_for_key(outlook: Outlook, key: MemberKey) -> None:
    """Add the own member's next key to the keys that open its file of the network key.

    Raises:
        ConfigError: If the file cannot be read or written.
    """
    path = outlook.config.node.network_key_file
    known = recipients_of(read_public_file(path, "the sealed network key"))
    if key.public_key in (public_key for _, public_key in known):
        return
    members = outlook.state.membership.members
    own = [each for each in known if each[0] == outlook.member]
    others = [
        (number, each.member.public_key)
        for number, each in enumerate(members)
        if number != outlook.member and each.standing is Standing.ACTIVE
    ]
    recipients = sorted([*others, *own[-1:], (outlook.member, key.public_key)])
    sealed = seal_for(outlook.state.chain_id, recipients, _network_key(outlook))
    partial = path.with_name(f"{path.name}.part")
    try:
        partial.write_bytes(sealed)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def _network_key(outlook: Outlook) -> bytes:
    path = outlook.config.node.network_key_file
    sealed = read_public_file(path, "the sealed network key")
    return open_for_any(sealed, own_keys(outlook.config), outlook.founders).key
