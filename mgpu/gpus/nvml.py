"""All GPUs through NVML. Any call here can hang: only the monitor process makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pynvml

from mgpu.gpus import driver as library
from mgpu.gpus.base import nothing_known
from mgpu.gpus.cards import Card, identify, measure
from mgpu.gpus.driver import Driver, words
from mgpu.gpus.faults import Faults
from mgpu.gpus.nvlinks import links
from mgpu.gpus.owners import Owners
from mgpu.gpus.page import START
from mgpu.model.gpu import Gpu, Link, Topology


class NvmlError(Exception):
    """NVML cannot be used at all now. ``installed`` tells whether its library is there."""

    def __init__(self, message: str, *, installed: bool) -> None:
        super().__init__(message)
        self.installed = installed


class Nvml:
    """Reads all GPUs; remembers those that it has seen, so that a lost one is still named.

    ``slots`` tells the PCI address of each GPU by the driver's number. Nothing is asked about the
    numbers in ``skipped``; their values say why.
    """

    def __init__(
        self,
        driver: Driver,
        known: Sequence[Gpu] = (),
        slots: Mapping[int, str] | None = None,
        skipped: Mapping[int, str] | None = None,
    ) -> None:
        self.slots = dict(slots or {})
        self.skipped = dict(skipped or {})
        self._driver = driver
        self._ready = False
        self._cards: dict[str, Gpu] = {}
        self._known: dict[str, list[Gpu]] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._asked: set[str] = set()
        for gpu in known:
            self._known.setdefault(gpu.bus, []).append(gpu)
        self._faults = Faults(driver, {gpu.bus: gpu.fault for gpu in known if gpu.fault})

    def read(self, owners: Owners) -> tuple[Gpu, ...]:
        """All GPUs in PCI order. One that fails is not available and its note says why.

        Raises :class:`NvmlError` when nothing can be said at all.
        """
        try:
            self._start()
            count: int = self._driver("nvmlDeviceGetCount")
            self._faults.hear()
        except pynvml.NVMLError as error:
            self._stop()
            return self._all_lost(error)
        found: dict[str, list[Gpu]] = {}
        for slot in range(count):
            bus, gpus = self._read_one(slot, owners)
            found.setdefault(bus, gpus)
        self._driver.rest()
        for bus in self._known.keys() - found.keys():
            found[bus] = self._lost(bus, "no longer listed by the driver")
        return self._in_order(found)

    def forgive(self, uuid: str) -> None:
        """Forget what the hardware of a GPU has reported."""
        for bus, gpus in self._known.items():
            if any(uuid in (gpu.uuid, gpu.card) for gpu in gpus):
                self._faults.forgive(bus)

    def version(self) -> str:
        """The driver's, empty where it does not tell."""
        if not self._ready:
            return ""
        try:
            version = self._driver("nvmlSystemGetDriverVersion")
        except pynvml.NVMLError:
            return ""
        return version.decode() if isinstance(version, bytes) else str(version)

    def topology(self, gpus: tuple[Gpu, ...]) -> Topology:
        """How the GPUs just read reach each other. The driver is asked once, when they are well."""
        buses = [gpu.bus for gpu in gpus]
        well = {gpu.bus for gpu in gpus if gpu.available}
        if not well <= self._asked:
            numbers = {bus: slot for slot, bus in self.slots.items() if bus in well}
            self._links |= links(self._driver, numbers)
            self._asked |= well
            self._driver.rest()
        each = list(enumerate(buses))
        return tuple(tuple(self._link(i, a, j, b) for j, b in each) for i, a in each)

    def _link(self, i: int, one: str, j: int, other: str) -> Link:
        if i == j:
            return Link.SELF
        if one == other:  # instances of one card
            return Link.SWITCH
        return self._links.get((one, other), Link.SYSTEM)

    def _start(self) -> None:
        if not self._ready:
            try:
                self._driver(START)
            finally:
                self._driver.remember()
            self._ready = True

    def _stop(self) -> None:
        if self._ready:
            self._ready = False
            try:
                self._driver("nvmlShutdown")
            except pynvml.NVMLError:
                pass  # it is started anew in any case
        self._faults.restart()
        self._driver.rest()

    def _all_lost(self, error: pynvml.NVMLError) -> tuple[Gpu, ...]:
        mismatched = isinstance(error, pynvml.NVMLError_LibRmVersionMismatch)
        why = library.mismatch() if mismatched else words(error)
        if not self._known:
            missing = isinstance(error, pynvml.NVMLError_LibraryNotFound)
            raise NvmlError(why, installed=not missing) from error
        return self._in_order({bus: self._lost(bus, why) for bus in self._known})

    def _read_one(self, slot: int, owners: Owners) -> tuple[str, list[Gpu]]:
        """The PCI address and what is there; an address that starts with "?" is not known."""
        self._driver.slot = slot
        try:
            if slot in self.skipped:
                return self._failed(slot, self.skipped[slot])
            card = self._identify(slot)
            self._faults.look(card.gpu.bus, card.handle)
            gpus = measure(self._driver, card, owners)
        except pynvml.NVMLError as error:
            self._faults.failed(self.slots.get(slot, f"?{slot}"), error)
            return self._failed(slot, words(error))
        self._known[card.gpu.bus] = gpus
        return card.gpu.bus, gpus

    def _identify(self, slot: int) -> Card:
        card = identify(self._driver, slot, self._cards.get(self.slots.get(slot, "")))
        bus = card.gpu.bus
        self.slots = {s: b for s, b in self.slots.items() if b != bus} | {slot: bus}
        self._cards[bus] = card.gpu
        return card

    def _failed(self, slot: int, why: str) -> tuple[str, list[Gpu]]:
        bus = self.slots.get(slot)
        if bus is None:
            place = f"?{slot}"
            return place, [Gpu(f"GPU-unknown-{slot}", 0, "", 0, available=False, note=why)]
        return bus, self._lost(bus, why)

    def _lost(self, bus: str, why: str) -> list[Gpu]:
        gpus = self._known.get(bus)
        return [nothing_known(gpu, why) for gpu in ([self._cards[bus]] if gpus is None else gpus)]

    def _in_order(self, found: Mapping[str, list[Gpu]]) -> tuple[Gpu, ...]:
        """By PCI address; one whose address is not known stands where its number says."""
        ordered = [(bus, gpu) for bus in sorted(found, key=self._rank) for gpu in found[bus]]
        return tuple(
            replace(gpu, index=index, fault=self._faults.of(bus))
            for index, (bus, gpu) in enumerate(ordered)
        )

    def _rank(self, bus: str) -> tuple[str, int]:
        if not bus.startswith("?"):
            return bus, -1
        slot = int(bus[1:])
        return max((b for s, b in self.slots.items() if s < slot), default=""), slot
