"""Errors of data and training: one class per reaction of the caller."""


class DataError(Exception):
    """A data set cannot be used as described: correct the file or its description."""


class SettingsError(Exception):
    """Training settings, a model name or an attack cannot be understood: correct the text."""


class TrainerError(Exception):
    """The training process failed or ended; nothing was sent, and it can be started again."""
