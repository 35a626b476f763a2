"""What is set before gRPC is imported."""

from __future__ import annotations

import os

import pytest

from usbshare.common import grpc_environment
from usbshare.common.grpc_environment import prepare_grpc


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GRPC_")}
    monkeypatch.setattr(os, "environ", kept)
    return kept


def test_the_older_poller_is_chosen_where_grpc_has_it(environment: dict[str, str]) -> None:
    prepare_grpc()
    assert environment["GRPC_EXPERIMENTS"].startswith("-event_engine_client,")
    assert environment["GRPC_DNS_RESOLVER"] == "native"


def test_a_grpc_that_does_not_know_it_is_left_alone(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_environment, "_EVENT_ENGINE", ("vanished_experiment",))
    prepare_grpc()
    assert "GRPC_EXPERIMENTS" not in environment


def test_what_the_user_has_set_stays(environment: dict[str, str]) -> None:
    environment.update(GRPC_EXPERIMENTS="", GRPC_VERBOSITY="DEBUG")
    prepare_grpc()
    assert environment["GRPC_EXPERIMENTS"] == ""
    assert environment["GRPC_VERBOSITY"] == "DEBUG"
