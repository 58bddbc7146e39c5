"""WAV in and out."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from ambo.wav import Pcm, WavSink, WavSource


def make(path: Path, samples: bytes, width: int = 2, channels: int = 1, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return path


def test_the_configuration_is_that_of_the_command_line() -> None:
    pcm = Pcm(16_000, 1)
    assert pcm.encode() == b'{"codec":"pcm_s16le","rate":16000,"channels":1}'
    assert Pcm.parse(pcm.encode()) == pcm
    assert pcm.frame_bytes == 640


@pytest.mark.parametrize(
    "payload",
    [
        b"OpusHead\x01\x01",
        b"[]",
        b'{"codec":"opus"}',
        b'{"codec":"pcm_s16le"}',
        b'{"codec":"pcm_s16le","rate":0,"channels":1}',
        b'{"codec":"pcm_s16le","rate":16000,"channels":90}',
    ],
)
def test_another_codec_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the texts are for people
        Pcm.parse(payload)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (48_000, 1)])
def test_a_file_comes_out_as_it_went_in(tmp_path: Path, rate: int, channels: int) -> None:
    samples = bytes(range(250)) * 97 * channels * 2
    there = make(tmp_path / "in.wav", samples, channels=channels, rate=rate)
    with WavSource(there) as source, WavSink(tmp_path / "out.wav") as sink:
        sink.configure(source.pcm.encode())
        frames = list(source)
        for frame in frames:
            sink.write(frame)
        assert sink.seconds == pytest.approx(source.seconds)
    assert {len(frame) for frame in frames[:-1]} == {source.pcm.frame_bytes}
    assert (tmp_path / "out.wav").read_bytes() == there.read_bytes()


def test_what_is_no_16_bit_wav_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 bits"):
        WavSource(make(tmp_path / "x.wav", b"\0" * 30, width=3))
    (tmp_path / "y.wav").write_bytes(b"MP3?")
    with pytest.raises(ValueError, match="no WAV file"):
        WavSource(tmp_path / "y.wav")
    with pytest.raises(OSError, match="No such file"):
        WavSource(tmp_path / "z.wav")


def test_audio_without_a_format_is_refused(tmp_path: Path) -> None:
    with WavSink(tmp_path / "x.wav") as sink, pytest.raises(ValueError, match="format"):
        sink.write(b"\0\0")
    with WavSink(tmp_path / "x.wav") as sink:
        sink.configure(Pcm(16_000, 1).encode())
        with pytest.raises(ValueError, match="another format"):
            sink.configure(Pcm(8_000, 1).encode())
