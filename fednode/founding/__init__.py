"""Founding a network and joining it: only public files change hands.

```
create_member(folder, ...)                 members.py        key, node.toml, member card
make_contract(cards, options) -> Contract  contracts.py      what the founders agree on
sign_contract(genesis, key) -> Genesis     consent.py        one member's signature more
merge_signatures(genesis, others)          consent.py        copies signed in parallel
seal_network_key(contract, key)            network_key.py    for each member, in one public file
open_network_key(sealed, ...) -> bytes     network_key.py    with the own secret key
open_membership(config) -> Membership      membership.py     all that a node starts with, checked
contract_terms(contract), differences      terms.py          field by field, for people
```
The same functions serve the commands, the test networks and notebooks.
"""
