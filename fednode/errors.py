"""Errors that stop a node or a command, each with one sentence for the person at the keyboard."""


class NodeError(Exception):
    """The node cannot go on; the text says what was expected, what came and what to do."""


class ConfigError(NodeError):
    """A configuration, contract or key file is not what the node needs."""
