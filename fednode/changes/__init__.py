"""Changes of membership and terms, as a member's people bring them about (rule P81).

```
look(config) -> Outlook               outlook.py     members and operations, from a folder
make_join_card, load_join_card        join_card.py   what a newcomer brings to its sponsor by hand
evict_operation(outlook, who) ...     wishes.py      operations that commands ask for, checked
Mailbox(folder).put(order)            mailbox.py     a command leaves an order
Errands(...).run(feed)                errands.py     the node takes it, also one that starts later
save_operations, load_operations      kept.py        pending operations outlive the process
make_next_key, promote_next_key       next_key.py    the key after a rotation
```
"""
