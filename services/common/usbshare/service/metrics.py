"""The metrics of every service, served to Prometheus one request at a time."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.authorization.rulebook import Rulebook
from usbshare.base.addresses import split_host_port
from usbshare.base.logs import lost_log_lines
from usbshare.trust.site import Site
from usbshare.trust.site_renewal import own_certificates

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# More frequent requests wait: a thread for each would take time from the event loop.
LEAST_INTERVAL_S = 0.05
SILENCE_S = 2.0
# However slowly a client sends and reads.
LONGEST_REQUEST_S = 5.0
TRY_AGAIN_S = 10.0

_log = logging.getLogger(__name__)


def serve_metrics(address: str, key: str, default_port: int, *collectors: Collector) -> None:
    """Answer GET /metrics at `host:port` from a daemon thread.

    Metrics must not prevent serving: an address in use is reported with its configuration `key`,
    and tried again.
    """
    host, port = split_host_port(address, default_port)
    registry = CollectorRegistry()
    for collector in (*collectors, LogCollector()):
        registry.register(collector)
    app, where = make_wsgi_app(registry), (host, port)
    try:
        server = _server(*where)
    except OSError as error:
        why = error.strerror or error
        _log.error("%s: cannot listen at %s: %s; trying again", key, address, why)
        server = None
    arguments = (server, where, app)
    threading.Thread(target=_serve, args=arguments, name="metrics", daemon=True).start()


class CertificateCollector(Collector):
    """Reads the certificates of a site at each scrape; there are none over plaintext."""

    def __init__(self, site: Site | None) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        """Yield the expiry of each certificate."""
        gauge = GaugeMetricFamily(
            "usbshare_certificate_end_timestamp_seconds",
            "Expiry of a certificate of this host, in seconds since 1970",
            labels=["certificate"],
        )
        for name, certificate in (own_certificates(self._site) if self._site else {}).items():
            gauge.add_metric([name], certificate.not_valid_after_utc.timestamp())
        yield gauge


class RulesCollector(Collector):
    """Reports how long the access rules could not be read, and alarms."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook

    def collect(self) -> Iterator[Metric]:
        """Yield each."""
        book = self._rulebook
        for name, what, value in (
            ("unknown_seconds", "How long the access rules have been unreadable", book.unknown_s),
            ("trouble", "1 while a rules file has a mistake or cannot be read", book.trouble),
            (
                "closed",
                "1 while only stops are allowed, because the access rules are unknown",
                book.is_closed,
            ),
        ):
            number = value if isinstance(value, float) else float(bool(value))
            yield GaugeMetricFamily(f"usbshare_rules_{name}", what, value=number)
        what = "Calls with a certificate whose successor is already in use"
        yield CounterMetricFamily("usbshare_void_certificate_uses", what, value=book.uses.void_uses)


class LogCollector(Collector):
    """Counts the log lines that stderr did not accept."""

    def collect(self) -> Iterator[Metric]:
        """Yield the count."""
        name, what = "usbshare_log_lines_lost", "Log lines that stderr did not accept"
        yield CounterMetricFamily(name, what, value=lost_log_lines())


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Log nothing: a scrape is not an event."""


class _Server(WSGIServer):
    def server_bind(self) -> None:
        # WSGIServer asks the name service for the name of its address, which may take long.
        self.socket.bind(self.server_address)
        host, port = self.socket.getsockname()[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer one request; a slow client is disconnected, since the others wait."""

        def hang_up() -> None:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

        end = threading.Timer(LONGEST_REQUEST_S, hang_up)
        end.daemon = True
        end.start()
        try:
            super().process_request(request, client_address)
        finally:
            end.cancel()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing about clients that disconnected or were silent."""


class _Ipv6Server(_Server):
    address_family = socket.AF_INET6


def _server(host: str, port: int) -> WSGIServer:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    is_ipv6 = found[0][0] == socket.AF_INET6
    return (_Ipv6Server if is_ipv6 else _Server)((host, port), _Handler)


def _serve(server: WSGIServer | None, where: tuple[str, int], app: WSGIApplication) -> None:
    while server is None:
        time.sleep(TRY_AGAIN_S)
        with suppress(OSError):
            server = _server(*where)
            _log.warning("metrics are available now")
    server.set_app(app)
    while True:
        server.handle_request()
        time.sleep(LEAST_INTERVAL_S)
