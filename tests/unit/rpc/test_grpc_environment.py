"""What is set before gRPC is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import grpc  # noqa: F401  # as all other tests do
import pytest

from usbshare.rpc import grpc_environment
from usbshare.rpc.grpc_environment import (
    prepare_grpc,
    prepare_grpc_to_serve,
    trace_handshakes,
    traces_handshakes,
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GRPC_")}
    monkeypatch.setattr(os, "environ", kept)
    return kept


def test_a_client_uses_the_older_poller_where_grpc_has_it(environment: dict[str, str]) -> None:
    prepare_grpc()
    assert environment["GRPC_EXPERIMENTS"].startswith("-event_engine_client,")
    assert environment["GRPC_DNS_RESOLVER"] == "native"


def test_a_service_never_uses_the_older_poller_by_default(environment: dict[str, str]) -> None:
    prepare_grpc_to_serve()
    assert "GRPC_EXPERIMENTS" not in environment
    assert environment["GRPC_DNS_RESOLVER"] == "native"


def test_a_service_that_a_client_started_does_not_inherit_its_poller(
    environment: dict[str, str],
) -> None:
    prepare_grpc()
    prepare_grpc_to_serve()
    assert "GRPC_EXPERIMENTS" not in environment


def test_an_experiment_that_the_user_chose_for_a_service_stays(environment: dict[str, str]) -> None:
    environment["GRPC_EXPERIMENTS"] = "-event_engine_client"
    prepare_grpc_to_serve()
    assert environment["GRPC_EXPERIMENTS"] == "-event_engine_client"


def test_a_grpc_that_does_not_know_it_is_left_alone(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_environment, "_EVENT_ENGINE", ("vanished_experiment",))
    prepare_grpc()
    assert "GRPC_EXPERIMENTS" not in environment


def test_settings_of_the_user_stay(environment: dict[str, str]) -> None:
    environment.update(GRPC_EXPERIMENTS="", GRPC_VERBOSITY="DEBUG")
    prepare_grpc()
    assert environment["GRPC_EXPERIMENTS"] == ""
    assert environment["GRPC_VERBOSITY"] == "DEBUG"


@pytest.fixture
def fresh(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """As in a process that has not imported gRPC."""
    monkeypatch.delitem(sys.modules, "grpc", raising=False)
    prepare_grpc_to_serve()
    return environment


def test_a_service_lets_grpc_say_why_handshakes_fail(fresh: dict[str, str]) -> None:
    assert not traces_handshakes()
    trace_handshakes()
    assert fresh["GRPC_TRACE"] == "handshaker"
    assert traces_handshakes()


@pytest.mark.parametrize(
    "asked", [{"GRPC_VERBOSITY": "ERROR"}, {"GRPC_VERBOSITY": "DEBUG"}, {"GRPC_TRACE": "http"}]
)
def test_grpc_settings_of_the_user_stay(fresh: dict[str, str], asked: dict[str, str]) -> None:
    fresh.update(asked)
    trace_handshakes()
    assert not traces_handshakes()
    assert asked.items() <= fresh.items()


def test_handshakes_cannot_be_traced_after_the_import_of_grpc(environment: dict[str, str]) -> None:
    prepare_grpc()
    assert "grpc" in sys.modules
    trace_handshakes()
    assert not traces_handshakes()


@pytest.mark.parametrize("name", ["serial_svc", "camera_svc", "discovery_svc", "job_svc"])
def test_a_service_reads_its_settings_before_grpc_is_imported(name: str) -> None:
    # Imported before, gRPC would not report the handshakes that it refuses.
    script = f"import sys, usbshare.{name}.cli; print('grpc' in sys.modules)"
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env=surroundings,
        timeout=60,
    )
    assert done.stdout == "False\n", done.stderr
