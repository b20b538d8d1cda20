"""Starts a real mosquitto with a temporary configuration, for tests and benchmarks."""

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

READY_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """PEM files of a throw-away authority and of a broker at localhost and 127.0.0.1."""

    ca_file: Path
    cert_file: Path
    key_file: Path


def free_port() -> int:
    """Return a port of the loopback address that is free now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


class Mosquitto:
    """A context manager around one broker process on the loopback address.

    Args:
        binary: The mosquitto program.
        folder: Where configuration and log are written.
        user: Name and password; None allows everybody.
        options: Further lines, such as "max_packet_size 1048576".
        certificates: Makes it a TLS listener.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        user: tuple[str, str] | None = None,
        options: Sequence[str] = (),
        certificates: Certificates | None = None,
    ) -> None:
        self.port = free_port()
        self._binary = binary
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._log = folder / f"mosquitto-{self.port}.log"
        self._scheme = "mqtt" if certificates is None else "mqtts"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"listener {self.port} 127.0.0.1", "user root", *options]
        if certificates is not None:
            lines += [
                f"cafile {certificates.ca_file}",
                f"certfile {certificates.cert_file}",
                f"keyfile {certificates.key_file}",
            ]
        if user is None:
            lines.append("allow_anonymous true")
        else:
            lines += ["allow_anonymous false", f"password_file {_password_file(folder, user)}"]
        self._config.write_text("\n".join(lines) + "\n")

    @property
    def url(self) -> str:
        """URL for `BrokerSettings`."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, or start again at the same port, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binary), "-c", str(self._config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"mosquitto did not start: {self._log.read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Kill it, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _listens(self) -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a broker's certificate with the openssl program."""
    ca_file, ca_key = folder / "ca.pem", folder / "ca.key"
    cert_file, key_file, request = (
        folder / "broker.pem",
        folder / "broker.key",
        folder / "broker.csr",
    )
    names = folder / "names.ext"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    _openssl(f"req -x509 {new_key} -days 2 -keyout {ca_key} -out {ca_file} -subj /CN=authority")
    _openssl(f"req {new_key} -keyout {key_file} -out {request} -subj /CN=localhost")
    signed = f"-CA {ca_file} -CAkey {ca_key} -CAcreateserial -extfile {names}"
    _openssl(f"x509 -req -days 2 -in {request} -out {cert_file} {signed}")
    return Certificates(ca_file=ca_file, cert_file=cert_file, key_file=key_file)


def _openssl(arguments: str) -> None:
    _run("openssl", arguments.split())


def _password_file(folder: Path, user: tuple[str, str]) -> Path:
    path = folder / "passwords"
    path.touch()
    _run("mosquitto_passwd", ["-b", str(path), *user])
    return path


def _run(program: str, arguments: Sequence[str]) -> None:
    found = shutil.which(program)
    if found is None:
        raise RuntimeError(f"no {program} in PATH: install it, or mosquitto's package")
    subprocess.run([found, *arguments], check=True, capture_output=True)
