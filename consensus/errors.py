"""Errors of consensus: one class per reaction of the caller."""


class ConsensusError(Exception):
    """Anything that consensus refuses; the text says what was expected and what came."""


class SigningRefusedError(ConsensusError):
    """The signer's record does not allow a signature (rule P60): go on without it."""
