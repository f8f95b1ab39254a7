"""How large collections are, for Prometheus: counted now and then, beside the requests, since it takes .1 s for a
million photos."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, perf_counter

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from phototriage.collections.catalogue import Catalogue
from phototriage.collections.store import Counts
from phototriage.common.errors import StoreUnavailable, UnknownCollection
from phototriage.settings import is_address

FRESH_SECONDS = 30.0  # figures are at least so old before they are counted again
PAUSES = 100  # of counting's own time, between two counts: it takes a hundredth of the time at most
WAIT_SECONDS = 0.5  # that a scrape waits for figures, before it gets those of the last time

logger = logging.getLogger(__name__)


class CollectionFigures(Collector):
    """Prometheus asks `collect`, which gives what was counted last. A collection that was deleted is in none of it."""

    def __init__(self, catalogue: Catalogue, place: str | Path, most: int) -> None:
        """place: where the catalogue keeps them; most: photos that a collection may have."""
        self._catalogue, self._most = catalogue, most
        self._folder = None if is_address(str(place)) else Path(place)
        self._counts: dict[str, Counts] = {}
        self._disk: tuple[int, int] | None = None  # bytes in all, and free
        self._is_up = True  # it was opened just now
        self._began, self._due = 0.0, 0.0
        self._running: asyncio.Future[None] | None = None

    async def refresh(self) -> None:
        """Count where that is due, in a thread; return when it is done, or after WAIT_SECONDS."""
        if self._running is None or self._running.done():
            if monotonic() < self._due:
                return
            self._began = monotonic()
            self._running = asyncio.get_running_loop().run_in_executor(None, self._count)
        await asyncio.wait({self._running}, timeout=WAIT_SECONDS)

    def _count(self) -> None:
        start = perf_counter()
        counts: dict[str, Counts] = {}
        is_up = True
        try:
            if self._folder is not None:
                usage = shutil.disk_usage(self._folder)
                self._disk = usage.total, usage.free
            for name in self._catalogue.names():
                with suppress(UnknownCollection):  # deleted since
                    try:
                        counts[name] = self._catalogue.get(name).store.counts()
                    except StoreUnavailable as error:  # of this one: others may be well
                        is_up = False
                        logger.warning("A collection isn't counted: %s", error.detail)
        except (OSError, StoreUnavailable) as error:
            is_up = False
            logger.warning("Collections aren't counted: %s", error)
        except Exception:  # whatever it is, the other metrics are to be there
            is_up = False
            logger.exception("Collections aren't counted")
        self._counts, self._is_up = counts, is_up
        self._due = monotonic() + max(FRESH_SECONDS, PAUSES * (perf_counter() - start))

    @property
    def is_up(self) -> bool:
        """Whether the store answered when it was asked last, and isn't silent now."""
        hangs = self._running is not None and not self._running.done() and monotonic() - self._began > FRESH_SECONDS
        return self._is_up and not hangs

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families that there can be."""
        yield GaugeMetricFamily("phototriage_collection_store_up", "1 if what keeps collections answers")
        yield GaugeMetricFamily("phototriage_collection_photos_limit", "Photos that a collection may have")
        for field, text in _OF_EACH.items():
            yield GaugeMetricFamily(f"phototriage_collection_{field}", text, labels=["collection"])
        yield GaugeMetricFamily("phototriage_collection_disk_bytes", "Of the disk with the folder of collections")
        yield GaugeMetricFamily("phototriage_collection_disk_free_bytes", "Of that disk, those that are free")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up, limit, *of_each, disk, free = self.describe()
        up.add_metric([], float(self.is_up))
        limit.add_metric([], self._most)
        for field, family in zip(_OF_EACH, of_each, strict=True):
            for name, counts in self._counts.items():
                family.add_metric([name], getattr(counts, field))
        if self._disk is not None:
            for family, value in zip((disk, free), self._disk, strict=True):
                family.add_metric([], value)
        yield from (family for family in (up, limit, *of_each, disk, free) if family.samples)


_OF_EACH = {
    "photos": "Photos of a collection",
    "groups": "Groups of two or more photos of a collection",
    "bytes": "Of a collection, on disk",
}
