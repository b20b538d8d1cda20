"""Errors of the ledger: one class per reaction of the caller.

```
LedgerError
+-- DecodeError        bytes that are not the canonical form of what was expected: drop them
+-- SignatureError     a statement its claimed signer did not sign: drop it
+-- CertificateError   a certificate that does not carry a quorum: drop it
+-- ContractError      a genesis whose terms cannot hold: correct the contract
+-- BlockError         a block or record that breaks a rule of the protocol: refuse it
+-- StorageError       the disk or database failed: stop the process
```
"""


class LedgerError(Exception):
    """Anything that the ledger refuses; the text says what was expected and what came."""


class DecodeError(LedgerError):
    """The other side's bytes are not the one canonical form of the expected record."""


class SignatureError(LedgerError):
    """A statement was not signed by the member that it names."""


class CertificateError(LedgerError):
    """A certificate does not prove that a quorum voted for one block."""


class ContractError(LedgerError):
    """The terms of a genesis contradict each other or cannot be carried out."""


class BlockError(LedgerError):
    """A block breaks a numbered rule of the protocol."""


class StorageError(LedgerError):
    """The local disk or database did not do what it promised; signing on would be unsafe."""
