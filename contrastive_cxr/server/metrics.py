"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one application; each application has its own, so that several can be in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "ccxr_requests", "Requests that were answered, by address and status.", ("path", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "ccxr_request_seconds", "Seconds from a request's head to the end of its answer.", ("path",),
            registry=self.registry, buckets=SECONDS,
        )  # fmt: skip
        self.images = Counter("ccxr_images", "Images that were decoded.", registry=self.registry)
        self.bytes = Counter("ccxr_upload_bytes", "Bytes of the files that arrived.", registry=self.registry)
        self.batches = Histogram(
            "ccxr_batch_images", "Images that passed through the network together.", registry=self.registry,
            buckets=IMAGES,
        )  # fmt: skip
        self.inside = Gauge("ccxr_requests_inside", "Requests being received or answered.", registry=self.registry)
        self.held = Gauge("ccxr_upload_bytes_held", "Bytes of uploads in memory.", registry=self.registry)
        self.waiting = Gauge("ccxr_images_waiting", "Images that wait for the model.", registry=self.registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
