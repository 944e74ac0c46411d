"""The ears and eyes of this suite: they accept what was played, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from signals import (
    AMPLITUDE,
    SAMPLE_RATE,
    Seen,
    is_silence,
    is_sound,
    is_tone,
    listen,
    moving_square,
    picture,
)

WINDOW = np.arange(SAMPLE_RATE // 5) / SAMPLE_RATE


def wave(hertz: float, amplitude: float = AMPLITUDE) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * WINDOW)).astype(np.int16)


def noise(amplitude: float) -> np.ndarray:
    return (amplitude * np.random.default_rng(seed=1).standard_normal(WINDOW.size)).astype(np.int16)


def seen(number: int, width: int = 320, height: int = 240) -> Seen:
    luma = np.frombuffer(picture(number, width, height).data, np.uint8)[: width * height]
    return Seen(width, height, luma.reshape(height, width))


@pytest.mark.parametrize("hertz", [440, 700, 1_000])
def test_a_tone_is_heard_as_itself_and_through_some_noise(hertz: float) -> None:
    assert is_tone(hertz)(listen(wave(hertz)))
    assert is_tone(hertz)(listen(wave(hertz) + noise(AMPLITUDE / 20)))


@pytest.mark.parametrize("samples", [wave(440, 50), wave(480), noise(AMPLITUDE), np.zeros(WINDOW.size, np.int16)])
def test_a_whisper_another_tone_noise_and_silence_are_not_the_tone(samples: np.ndarray) -> None:
    assert not is_tone(440)(listen(samples))


def test_a_tone_is_not_silence_and_silence_is_no_sound() -> None:
    assert is_sound(listen(wave(440))) and not is_silence(listen(wave(440)))
    assert is_silence(listen(np.zeros(WINDOW.size, np.int16)))


@pytest.mark.parametrize("size", [(320, 240), (1280, 720), (320, 180)])
def test_a_moving_square_is_seen_in_any_size(size: tuple[int, int]) -> None:
    assert moving_square([seen(number, *size) for number in range(8)])


def test_a_frozen_picture_and_a_grey_one_are_not_a_moving_square() -> None:
    assert not moving_square([seen(3)] * 50)
    grey = Seen(320, 240, np.full((240, 320), 128, np.uint8))
    assert not moving_square([grey] * 50)
    assert not moving_square([Seen(320, 240, np.random.default_rng(seed=n).integers(0, 255, (240, 320))) for n in range(9)])
