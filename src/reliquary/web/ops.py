"""Probes and metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from reliquary import __version__
from reliquary.errors import ReliquaryError
from reliquary.web.state import State
from reliquary.web.tally import Tally

NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Operations:
    """What machines ask: are you alive, are you ready, what did you do."""

    def __init__(self, state: State, tally: Tally) -> None:
        self._state = state
        self._tally = tally
        self._registry = CollectorRegistry()
        self._registry.register(self)

    async def health(self, request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n", headers=NO_STORE)

    async def ready(self, request: Request) -> Response:
        """The database answers and no stop is under way; upstreams are not asked."""
        try:
            await self._state.context.catalog.changes.latest()
        except ReliquaryError as error:
            return PlainTextResponse(f"not ready: {error.message}\n", 503, headers=NO_STORE)
        if not self._state.ready:
            return PlainTextResponse("not ready: stopping\n", 503, headers=NO_STORE)
        return PlainTextResponse("ready\n", headers=NO_STORE)

    async def metrics(self, request: Request) -> Response:
        """The Prometheus exposition format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST, headers=NO_STORE)

    def collect(self) -> list[Metric]:
        """What the counters of all workers stand at; called by the registry."""
        gauges = self._tally.gauges()
        build = GaugeMetricFamily("reliquary_build", "1, with the version as a label", labels=["version"])
        build.add_metric([__version__], 1)
        events = CounterMetricFamily("reliquary_events", "What happened, by kind", labels=["kind"])
        for kind, count in sorted(self._tally.counts().items()):
            events.add_metric([kind], count)
        hot = GaugeMetricFamily("reliquary_hot_items", "Pages and files remembered in memory", value=gauges["hot"])
        fills = GaugeMetricFamily("reliquary_fills", "Downloads under way", value=gauges["fills"])
        return [build, events, hot, fills]
