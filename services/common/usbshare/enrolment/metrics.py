"""The ends of this host's certificates for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.trust.renewal import own_certificates
from usbshare.trust.site import Site


class CertificateCollector(Collector):
    """Reads the certificates of a site at the moment of a scrape; over plaintext there is none."""

    def __init__(self, site: Site | None) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        """Yield when each certificate ends."""
        gauge = GaugeMetricFamily(
            "usbshare_certificate_end_timestamp_seconds",
            "Expiry of a certificate of this host, in seconds since 1970",
            labels=["certificate"],
        )
        for name, certificate in (own_certificates(self._site) if self._site else {}).items():
            gauge.add_metric([name], certificate.not_valid_after_utc.timestamp())
        yield gauge
