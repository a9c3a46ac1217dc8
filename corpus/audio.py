"""Speech and sound: encoders, codecs, spectrograms, separation, pitch, voice activity."""

from __future__ import annotations

import torch
import transformers
from torch import Tensor, nn

from corpus.seeding import seeded
from corpus.stand_in import stand_in


def hf_net(network: str, configuration: str, **options: object) -> nn.Module:
    """The class `network` of transformers on a configuration of class `configuration`."""
    return seeded(getattr(transformers, network), getattr(transformers, configuration)(**options))


def whisper_encoder() -> nn.Module:
    """Whisper's encoder alone."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, num_mel_bins=16, max_source_positions=40
    )
    return seeded(WhisperEncoder, config)


def conformer() -> nn.Module:
    """A Conformer of two blocks."""
    from conformer import Conformer

    return seeded(Conformer, dim=32, depth=2, dim_head=8, heads=4, ff_mult=2, conv_kernel_size=7)


def mel_spectrogram() -> nn.Module:
    """nnAudio's Mel spectrogram, by convolution."""
    from nnAudio.features import MelSpectrogram

    return seeded(MelSpectrogram, sr=8000, n_fft=256, n_mels=24, hop_length=64, verbose=False)


def constant_q() -> nn.Module:
    """nnAudio's constant-Q transform, by convolutions on halved signals."""
    from nnAudio.features import CQT2010v2

    return seeded(CQT2010v2, sr=8000, hop_length=64, fmin=220, n_bins=36, verbose=False)


def crepe() -> nn.Module:
    """torchcrepe's pitch tracker, tiny, with random weights."""
    with stand_in("torchaudio", "librosa", "resampy"):
        import torchcrepe

        return seeded(torchcrepe.Crepe, "tiny")


class SnacAutoencoder(nn.Module):
    """SNAC without its quantizer's noise: sound to codes' vectors and back."""

    def __init__(self) -> None:
        super().__init__()
        from snac import SNAC

        self.net = SNAC(
            sampling_rate=8000, encoder_dim=8, encoder_rates=[2, 4], decoder_dim=32, decoder_rates=[4, 2], attn_window_size=None,
            codebook_size=32, codebook_dim=4, vq_strides=[2, 1], noise=False, depthwise=True,
        )  # fmt: skip

    def forward(self, audio: Tensor) -> Tensor:
        latent = self.net.encoder(audio)
        quantized, _ = self.net.quantizer(latent)
        return self.net.decoder(quantized)


def snac() -> nn.Module:
    """A small SNAC."""
    return seeded(SnacAutoencoder)


def demucs() -> nn.Module:
    """A small Demucs: source separation in the time domain, with an LSTM in the middle."""
    with stand_in("torchaudio", "lameenc", "dora"):
        from demucs.demucs import Demucs

        return seeded(
            Demucs, ["voice", "rest"], audio_channels=1, channels=8, depth=3, resample=False, lstm_layers=1, norm_starts=9
        )


def filterbank() -> nn.Module:
    """asteroid's learned analysis and synthesis filters with a mask between."""
    from asteroid_filterbanks import Decoder, Encoder, FreeFB

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = Encoder(FreeFB(32, 16, stride=8))
            self.decoder = Decoder(FreeFB(32, 16, stride=8))
            self.mask = nn.Sequential(nn.Conv1d(32, 32, 3, padding=1), nn.Sigmoid())

        def forward(self, audio: Tensor) -> Tensor:
            features = self.encoder(audio)
            return self.decoder(features * self.mask(features))

    return seeded(Masked)


def silero_vad() -> nn.Module:
    """Silero's voice activity detector at 16 kHz with its published weights: a scripted module, its state an input."""
    import importlib.resources

    path = importlib.resources.files("silero_vad") / "data" / "silero_vad.jit"
    return torch.jit.load(str(path), map_location="cpu")._model.eval()


class SoundClassifier(nn.Module):
    """M5: a classifier of raw waveforms."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        sizes = [(1, channels, 80, 4), (channels, channels, 3, 1), (channels, 2 * channels, 3, 1)]
        blocks = [
            nn.Sequential(nn.Conv1d(before, after, kernel, stride), nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(4))
            for before, after, kernel, stride in sizes
        ]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(2 * channels, 10)

    def forward(self, audio: Tensor) -> Tensor:
        features = self.blocks(audio)
        pooled = nn.functional.avg_pool1d(features, features.shape[-1]).permute(0, 2, 1)
        return nn.functional.log_softmax(self.head(pooled), dim=2)


def m5() -> nn.Module:
    """M5 in a small size."""
    return seeded(SoundClassifier)
