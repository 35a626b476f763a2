"""Ten programs of the kinds that lasers are given, for `bench/estimate`."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

Lines = Iterator[str]

_HEAD = ("G21", "G90", "G0 X0 Y0")


def programs() -> dict[str, list[str]]:
    """Return the programs by name."""
    makers: dict[str, Callable[[], Lines]] = {
        "raster": raster,
        "raster beyond the line": lambda: raster(step=0.1, feed=12000, rows=8, wordy=True),
        "raster M3": lambda: raster(spindle="M3", rows=6),
        "vector": vector,
        "tiny segments": lambda: vector(step=0.005, turns=2),
        "arcs": arcs,
        "dots with dwells": dots,
        "cuts with M3 and M5": cuts,
        "zigzag at full speed": zigzag,
        "inches, increments, pauses": inches,
    }
    return {name: [*_HEAD, *make(), "M5"] for name, make in makers.items()}


def raster(
    step: float = 0.5,
    feed: int = 6000,
    rows: int = 20,
    width: int = 60,
    spindle: str = "M4",
    *,
    wordy: bool = False,
) -> Lines:
    """Yield rows of dots of random power, back and forth, as an image is engraved."""
    chance = random.Random(7)
    yield f"{spindle} S0"
    yield f"G1 F{feed}"
    count = round(width / step)
    for row in range(rows):
        for n in range(count + 1):
            x = (n if row % 2 == 0 else count - n) * step
            rest = f" Y{row * 0.2:.6f} F{feed}.0000" if wordy else ""
            yield f"G1 X{x:.3f} S{chance.randrange(1000)}{rest}"
        yield f"G0 Y{row * 0.2:.3f}"


def vector(step: float = 0.05, turns: int = 10) -> Lines:
    """Yield a spiral of short lines, `step` radians each."""
    yield "M4 S500"
    for n in range(round(turns * 2 * math.pi / step)):
        angle = n * step
        radius = 10 + angle / 4
        x, y = 50 + radius * math.cos(angle), 50 + radius * math.sin(angle)
        yield f"G1 X{x:.3f} Y{y:.3f}" + ("" if n else " F3000")


def arcs() -> Lines:
    """Yield rounded boxes, circles, and arcs by radius."""
    yield "M4 S700"
    yield "G1 F2400"
    for n in range(12):
        x = n * 8
        yield f"G0 X{x + 2} Y0"
        yield f"G1 X{x + 6}"
        yield f"G3 X{x + 8} Y2 I0 J2"
        yield "G1 Y6"
        yield f"G3 X{x + 6} Y8 R2"
        yield f"G2 X{x + 6} Y8 I-2 J0"
        yield f"G2 X{x + 2} Y6 R-4"


def dots() -> Lines:
    """Yield holes that are burnt while the machine stands."""
    for n in range(60):
        yield f"G0 X{n % 10 * 5} Y{n // 10 * 5}"
        yield "M3 S800"
        yield "G4 P0.12"
        yield "M5"


def cuts() -> Lines:
    """Yield squares that are cut with a constant beam."""
    for n in range(40):
        x, y = n % 8 * 12, n // 8 * 12
        yield f"G0 X{x} Y{y}"
        yield "M3 S900"
        yield f"G1 X{x + 10} F900"
        yield f"Y{y + 10}"
        yield f"X{x}"
        yield f"Y{y}"
        yield "M5"


def zigzag() -> Lines:
    """Yield rapid moves with sharp corners, and air assist on and off."""
    for n in range(120):
        yield f"G0 X{n % 2 * 150} Y{n}"
        if n % 30 == 0:
            yield "M8"
            yield "M9"


def inches() -> Lines:
    """Yield relative moves in inches, with modes that change and dwells between."""
    yield "G20"
    yield "G91"
    yield "M4 S300"
    yield "G1 F100"
    for n in range(60):
        yield f"X{0.2 if n % 2 else -0.1} Y0.05"
        yield "G0 X0.1"
        yield "G1 X-0.05 S450"
        if n % 20 == 0:
            yield "G4 P0.25"
    yield "G90"
    yield "G21"
