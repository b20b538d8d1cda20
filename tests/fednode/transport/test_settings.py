"""Broker settings: a mistake is one sentence, and a password is never shown."""

from pathlib import Path

import pytest

from fednode.transport.backoff import backoff_ms
from fednode.transport.errors import BrokerRefusedError
from fednode.transport.settings import BrokerSettings, endpoint_of, password_of


@pytest.mark.parametrize(
    ("url", "host", "port", "is_tls"),
    [
        ("mqtt://broker.example", "broker.example", 1883, False),
        ("mqtt://10.0.0.1:1884", "10.0.0.1", 1884, False),
        ("mqtts://broker.example", "broker.example", 8883, True),
        ("mqtt://[::1]:1885/", "::1", 1885, False),
    ],
)
def test_a_url_names_host_port_and_tls(url: str, host: str, port: int, *, is_tls: bool) -> None:
    endpoint = endpoint_of(BrokerSettings(url=url))

    assert (endpoint.host, endpoint.port, endpoint.tls is not None) == (host, port, is_tls)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker.example",
        "broker.example:1883",
        "http://broker.example",
        "mqtt://",
        "mqtt://broker.example/topic",
        "mqtt://broker.example:0",
        "mqtt://broker.example:99999",
        "mqtt://broker.example:port",
    ],
)
def test_a_wrong_url_says_what_was_expected(url: str) -> None:
    with pytest.raises(BrokerRefusedError, match=r"mqtt://host:port"):
        endpoint_of(BrokerSettings(url=url))


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BrokerRefusedError, match="expected no user name or password") as caught:
        endpoint_of(BrokerSettings(url="mqtt://clinic:hunter2@broker.example"))

    assert "hunter2" not in str(caught.value)


def test_a_password_is_not_shown_by_repr() -> None:
    secret = "hunter2"  # noqa: S105

    assert secret not in repr(BrokerSettings(url="mqtt://x", password=secret))


def test_the_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("hunter2\r\nsecond line\n")

    assert password_of(BrokerSettings(url="mqtt://x", password_file=path)) == "hunter2"


@pytest.mark.parametrize("content", [None, "", "\nhunter2\n"])
def test_a_missing_or_empty_password_file_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)

    with pytest.raises(BrokerRefusedError, match=rf"{path}"):
        password_of(BrokerSettings(url="mqtt://x", password_file=path))


def test_a_missing_tls_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"

    with pytest.raises(BrokerRefusedError, match=rf"TLS: cannot use {path}: .*readable PEM files"):
        endpoint_of(BrokerSettings(url="mqtts://x", ca_file=path))


def test_tls_files_for_a_plain_url_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokerRefusedError, match=r"TLS files are given, so write mqtts://"):
        endpoint_of(BrokerSettings(url="mqtt://x", ca_file=tmp_path / "ca.pem"))


def test_the_backoff_doubles_up_to_its_bound_and_its_second_half_is_random() -> None:
    """Rule P92."""
    lowest = [backoff_ms(attempt, 0.0) for attempt in range(10)]
    highest = [backoff_ms(attempt, 0.999_999) for attempt in range(10)]

    assert lowest == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000, 15000]
    assert all(low < high <= 2 * low for low, high in zip(lowest, highest, strict=True))
    assert backoff_ms(10**6, 0.5) == backoff_ms(8, 0.5)
