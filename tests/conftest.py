"""What all tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from fakes.own_network import leave_shared_network
from fakes.warm import Nursery

pytest_plugins = ["cpu", "schedule"]

# Compiling the product anew is a third of what a service or a command costs to start, and the tests
# start hundreds: bytecode is kept, outside the tree, also where the environment forbids it.
sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
sys.dont_write_bytecode = False
os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No test depends on speed: a busy machine may take any time for an example.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# Beside other work a slow test takes any time too; this only ends one that hangs.
SLOW_TIMEOUT_S = 4 * 3600
COLD = ("slow", "cold", "quiet")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cold", action="store_true", help="let every process import all by itself")
    parser.addoption(
        "--shared-network",
        action="store_true",
        help="use this computer's network; by default each process of tests has an empty one",
    )


def pytest_configure(config: pytest.Config) -> None:
    if shared := getattr(config, "workerinput", {}).get("nursery"):
        Nursery.share(Nursery(**shared))
    is_elsewhere = "hardware" in config.getoption("markexpr").replace("not hardware", "")
    if not (is_elsewhere or config.getoption("--shared-network")):
        leave_shared_network()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give all workers the same nursery, unless its processes are to count as theirs."""
    if hasattr(os, "pidfd_open") and not node.config.getoption("--cpu"):
        node.workerinput["nursery"] = asdict(Nursery.running())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what each worker keeps to its end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    is_cold = item.config.getoption("--cold") or any(map(item.get_closest_marker, COLD))
    Nursery.is_used = not is_cold


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests a timeout of their own."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S), append=False)
