"""Sound and pictures that can be recognised again after a lossy codec, and the recognition.

Knows numbers only. Refuses to know rooms, tests and the server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Callable

import numpy as np
from livekit import rtc

PATIENCE_SECONDS = 20.0

SAMPLE_RATE = 48_000
FRAME_SAMPLES = SAMPLE_RATE // 50
AMPLITUDE = 8_000

# A bright square on a dark ground, moving by a step per picture: codecs keep it, and its place tells pictures apart.
# Measures are shares of the picture's height and width, so that a scaled picture is recognised as well.
SQUARE_OF_HEIGHT = 1 / 4
STEP_OF_WIDTH = 1 / 40
BRIGHT, DARK, NEUTRAL_CHROMA = 220, 40, 128
FRAMES_PER_SECOND = 15


async def play_tone(source: rtc.AudioSource, hertz: float) -> None:
    """Forever; the source's own queue sets the pace."""
    phase = 0
    while True:
        time = (np.arange(FRAME_SAMPLES) + phase) / SAMPLE_RATE
        samples = (AMPLITUDE * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE, 1, FRAME_SAMPLES))
        phase += FRAME_SAMPLES


def picture(number: int, width: int, height: int) -> rtc.VideoFrame:
    luma = np.full((height, width), DARK, np.uint8)
    side = int(height * SQUARE_OF_HEIGHT)
    left = int(number * STEP_OF_WIDTH * width) % (width - side)
    top = (height - side) // 2
    luma[top : top + side, left : left + side] = BRIGHT
    chroma = np.full(width * height // 2, NEUTRAL_CHROMA, np.uint8)
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, luma.tobytes() + chroma.tobytes())


async def play_pictures(source: rtc.VideoSource, width: int, height: int) -> None:
    """Forever, at the pace of a camera."""
    number = 0
    while True:
        source.capture_frame(picture(number, width, height))
        number += 1
        await asyncio.sleep(1 / FRAMES_PER_SECOND)


@dataclass(frozen=True)
class Heard:
    """One window of received sound."""

    root_mean_square: float
    strongest_hertz: float
    # Share of the energy within 30 Hz of the strongest frequency: near 1 for a tone, small for noise.
    purity: float


def listen(samples: np.ndarray) -> Heard:
    wave = samples.astype(np.float64)
    power = np.abs(np.fft.rfft(wave * np.hanning(wave.size))) ** 2
    hertz = np.fft.rfftfreq(wave.size, 1 / SAMPLE_RATE)
    strongest = hertz[int(np.argmax(power))]
    near = power[np.abs(hertz - strongest) <= 30].sum()
    total = power.sum()
    return Heard(float(np.sqrt(np.mean(wave**2))), float(strongest), float(near / total) if total else 0.0)


async def hear(track: rtc.Track, is_it: Callable[[Heard], bool], patience: float = PATIENCE_SECONDS) -> Heard:
    """Listens in windows of 200 ms until one satisfies `is_it`; otherwise says what was heard last."""
    stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
    last: Heard | None = None
    window: list[np.ndarray] = []
    try:
        async with asyncio.timeout(patience):
            async for event in stream:
                window.append(np.frombuffer(event.frame.data, np.int16))
                if sum(part.size for part in window) < SAMPLE_RATE // 5:
                    continue
                last = listen(np.concatenate(window))
                window.clear()
                if is_it(last):
                    return last
        raise AssertionError(f"the stream of sound ended; last heard: {last}")
    except TimeoutError:
        raise AssertionError(f"not heard within {patience:g} s; last heard: {last}") from None
    finally:
        await stream.aclose()


def is_tone(hertz: float) -> Callable[[Heard], bool]:
    """Loud, pure, and at this frequency: nothing but the published tone passes."""
    return lambda heard: (
        heard.root_mean_square > AMPLITUDE / 8 and abs(heard.strongest_hertz - hertz) < 15 and heard.purity > 0.8
    )


def is_silence(heard: Heard) -> bool:
    return heard.root_mean_square < AMPLITUDE / 800


def is_sound(heard: Heard) -> bool:
    return heard.root_mean_square > AMPLITUDE / 80


@dataclass(frozen=True)
class Seen:
    """One received picture."""

    width: int
    height: int
    luma: np.ndarray

    def square_column(self) -> float | None:
        """Where the middle of the bright square is, as a share of the width; None if there is no such square."""
        bright = self.luma > (BRIGHT + DARK) // 2
        expected = SQUARE_OF_HEIGHT**2 * self.height / self.width
        if not 0.5 * expected < bright.mean() < 2 * expected:
            return None
        return float(np.nonzero(bright)[1].mean() / self.width)


def moving_square(pictures: list[Seen], places: int = 5) -> bool:
    """Whether the square was seen in that many places: the pictures are ours, and they change."""
    columns = {round(column / STEP_OF_WIDTH) for seen in pictures if (column := seen.square_column()) is not None}
    return len(columns) >= places


async def watch(
    track: rtc.Track, is_enough: Callable[[list[Seen]], bool], patience: float = PATIENCE_SECONDS
) -> list[Seen]:
    """Collects pictures until `is_enough`; otherwise says what was seen."""
    stream = rtc.VideoStream(track, format=rtc.VideoBufferType.I420)
    pictures: list[Seen] = []
    try:
        async with asyncio.timeout(patience):
            async for event in stream:
                frame = event.frame
                luma = np.frombuffer(frame.get_plane(0), np.uint8)[: frame.width * frame.height]
                pictures.append(Seen(frame.width, frame.height, luma.reshape(frame.height, frame.width).copy()))
                if is_enough(pictures):
                    return pictures
        raise AssertionError(f"the stream of pictures ended after {len(pictures)}")
    except TimeoutError:
        sizes = sorted({(seen.width, seen.height) for seen in pictures})
        raise AssertionError(f"not seen within {patience:g} s: {len(pictures)} pictures, sizes {sizes}") from None
    finally:
        await stream.aclose()
