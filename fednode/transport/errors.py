"""Errors of the transport: one class per reaction of the caller."""


class TransportError(Exception):
    """The broker cannot be reached or used now; trying again later may help."""


class BrokerRefusedError(TransportError):
    """The broker or the settings refuse this node; only a person can change that."""
