"""A process's counters for Prometheus, over plain HTTP."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from usbshare.common.addresses import split_host_port
from usbshare.common.errors import ConfigError


def serve_metrics(address: str, key: str, default_port: int, *collectors: Collector) -> None:
    """Answer GET /metrics at `host:port` from a daemon thread.

    The ConfigError when it cannot names `key`, where the address was configured.
    """
    host, port = split_host_port(address, default_port)
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"{key}: cannot listen at {address}: {why}") from error
