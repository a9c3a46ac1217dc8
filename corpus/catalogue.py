"""The one table of the corpus: every model with its inputs. Entries are added, never removed because they fail.

`COMPOSITION` says how many models each family has; a test holds the table to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_BATCH_SIZE = 3

COMPOSITION = {
    "operators": 36,
    "vision": 18,
    "vision_transformers": 9,
    "segmentation": 7,
    "medical": 15,
    "language": 19,
    "audio": 14,
    "recommender": 11,
    "timeseries": 9,
    "graph": 7,
}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input: sizes, or names of dynamic axes; values are drawn from a normal distribution, or evenly from `range`."""

    shape: tuple[int | str, ...]
    dtype: str = "fp32"
    range: tuple[float, float] | None = None
    """Smallest and largest value."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model."""

    name: str
    family: str
    factory: str
    """`<module of corpus>:<function>`."""
    inputs: Mapping[str, Tensor]
    axes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Dynamic axes beside the batch: smallest, usual and largest size."""
    steps: Mapping[str, int] = field(default_factory=dict)
    """Of axes that do not take every size."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    """Names to import that are needed beside torch."""

    @property
    def batchable(self) -> bool:
        """Whether the first axis of every input is the batch; then batches of up to `MAX_BATCH_SIZE` must work."""
        return all(tensor.shape[:1] == ("batch",) for tensor in self.inputs.values())


def _fp32(*shape: int | str, range: tuple[float, float] | None = None) -> Tensor:  # noqa: A002 - the field's name
    return Tensor(shape=("batch", *shape), range=range)


def _ids(count: int, *shape: int | str) -> Tensor:
    """Whole numbers below `count`."""
    return Tensor(shape=("batch", *shape), dtype="int64", range=(0, count - 1))


def _operator(name: str, module: str, axes: Mapping[str, tuple[int, int, int]] | None = None, **inputs: Tensor) -> Entry:
    return Entry(name=name, family="operators", factory="operators:module", kwargs={"name": module}, inputs=inputs, axes=axes or {})


_SEQUENCE = {"sequence": (4, 7, 12)}
_PICTURE = {"height": (6, 10, 16), "width": (8, 12, 20)}

_OPERATORS = (
    _operator("einsum", "Einsum", x=_fp32(2, 5, 6), y=_fp32(2, 5, 6)),
    *(
        Entry(
            name=f"conv_transpose{dimensions}d",
            family="operators",
            factory="operators:module",
            kwargs={"name": "ConvTranspose", "dimensions": dimensions},
            inputs={"x": _fp32(4, *(5, 6, 7)[:dimensions])},
        )
        for dimensions in (1, 2, 3)
    ),
    _operator("grid_sample", "GridSample", x=_fp32(3, 8, 9), grid=_fp32(5, 6, 2, range=(-1.2, 1.2))),
    _operator("spatial_transformer", "SpatialTransformer", x=_fp32(1, 24, 24)),
    _operator("scatter_add", "ScatterAdd", values=_fp32(20), index=_ids(8, 20)),
    _operator("scatter_reduce", "ScatterMean", x=_fp32(6, 4)),
    _operator("index_put", "IndexPut", x=_fp32(6, 5), values=_fp32(4, 5)),
    _operator("cumulative", "Cumulative", _SEQUENCE, x=_fp32("sequence", 3)),
    _operator("topk_gather", "TopK", scores=_fp32(30), boxes=_fp32(30, 4)),
    _operator("sort", "Sort", x=_fp32(17)),
    _operator("unfold_fold", "UnfoldFold", x=_fp32(3, 16, 16)),
    _operator("pixel_shuffle", "PixelShuffle", x=_fp32(8, 6, 8)),
    _operator("norms", "Norms", x=_fp32(8, 12, 12)),
    _operator("interpolate", "Interpolate", _PICTURE, image=_fp32(2, "height", "width")),
    _operator("interpolate3d", "Interpolate3d", volume=_fp32(2, 4, 5, 6)),
    _operator("pools", "Pools", x=_fp32(3, 13, 14)),
    _operator("paddings", "Paddings", x=_fp32(2, 7, 8)),
    _operator("attention", "Attention", x=_fp32(7, 16), padding=Tensor(shape=("batch", 7), range=(-2.0, 0.0))),
    _operator("attention_dynamic", "Attention", _SEQUENCE, x=_fp32("sequence", 16), padding=_fp32("sequence", range=(-2.0, 0.0))),
    _operator(
        "scaled_dot_product", "ScaledDotProduct",
        query=_fp32(2, 7, 8), key=_fp32(2, 7, 8), value=_fp32(2, 7, 8), mask=_fp32(2, 7, 7),
    ),
    Entry(
        name="encoder_layer", family="operators", factory="operators:encoder_layer", axes=_SEQUENCE,
        inputs={"src": _fp32("sequence", 16)},
    ),
    _operator("decoder_layer", "Decoder", {"target": (4, 5, 9)}, target=_fp32("target", 16), memory=_fp32(7, 16)),
    *(
        Entry(
            name=kind.lower(), family="operators", factory="operators:module", kwargs={"name": "Recurrent", "kind": kind},
            axes=_SEQUENCE, inputs={"x": _fp32("sequence", 6)},
        )
        for kind in ("LSTM", "GRU")
    ),
    _operator("lstm_cell_loop", "CellLoop", x=_fp32(5, 6)),
    _operator("embedding_bag", "EmbeddingBag", ids=_ids(20, 6)),
    _operator("roll_flip", "RollFlip", x=_fp32(2, 6, 7)),
    _operator("conv_stft", "ConvStft", {"samples": (64, 160, 256)}, signal=_fp32("samples")),
    _operator("stft", "Stft", signal=_fp32(160)),
    _operator("fourier_layer", "Fourier", x=_fp32(4, 16)),
    _operator("quantizer", "Quantizer", x=_fp32(9, 4)),
    _operator("activations", "Activations", x=_fp32(6, 10)),
    _operator("reductions", "Reductions", x=_fp32(4, 6)),
    _operator("repeat", "Repeat", _PICTURE, image=_fp32(2, "height", "width")),
)  # fmt: skip


def _timm(name: str, size: int = 64, **options: Any) -> Entry:
    return Entry(
        name=name, family="vision", factory="vision:timm_net", kwargs={"name": name, **options},
        inputs={"x": _fp32(3, size, size)}, packages=("timm",),
    )  # fmt: skip


_VISION = (
    _timm("resnet18"),
    _timm("resnext26ts"),
    _timm("repvgg_a0"),
    _timm("densenet121"),
    _timm("regnety_002"),
    _timm("mobilenetv3_small_100"),
    _timm("efficientnet_b0"),
    _timm("tf_efficientnetv2_b0"),
    _timm("ghostnet_100"),
    _timm("convnext_atto"),
    _timm("eca_nfnet_l0"),
    _timm("hrnet_w18_small"),
    _timm("vit_tiny_patch16_224", img_size=64),
    _timm("swin_tiny_patch4_window7_224", 56, img_size=56, window_size=7),
    _timm("mobilevit_xxs"),
    _timm("levit_128s", 224),
    _timm("coat_lite_tiny", img_size=64),
    _timm("edgenext_xx_small"),
)


def _vision(name: str, configuration: str, size: int = 32, **options: Any) -> Entry:
    return Entry(
        name=name.lower(), family="vision_transformers", factory="vision_transformers:hf_net",
        kwargs={"network": name, "configuration": configuration, **options},
        inputs={"pixel_values": _fp32(3, size, size)}, packages=("transformers",),
    )  # fmt: skip


_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}

_VISION_TRANSFORMERS = (
    _vision("ViTForImageClassification", "ViTConfig", image_size=32, patch_size=8, **_SMALL),
    _vision("BeitModel", "BeitConfig", image_size=32, patch_size=8, use_relative_position_bias=True, **_SMALL),
    _vision("Dinov2Model", "Dinov2Config", image_size=32, patch_size=8, **_SMALL),
    _vision("SwinModel", "SwinConfig", image_size=32, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4),
    _vision(
        "SegformerForSemanticSegmentation", "SegformerConfig", 64, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=32,
    ),
    _vision("ConvNextV2ForImageClassification", "ConvNextV2Config", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1]),
    _vision("YolosForObjectDetection", "YolosConfig", image_size=[32, 32], patch_size=8, num_detection_tokens=6, **_SMALL),
    Entry(
        name="detr", family="vision_transformers", factory="vision_transformers:detr", packages=("transformers",),
        inputs={"pixel_values": _fp32(3, 64, 64)},
    ),
    Entry(
        name="clip", family="vision_transformers", factory="vision_transformers:clip", packages=("transformers",),
        inputs={
            "input_ids": Tensor(shape=(3, 12), dtype="int64", range=(0, 99)),
            "pixel_values": Tensor(shape=(2, 3, 32, 32)),
        },
    ),
)  # fmt: skip


def _smp(architecture: str, encoder: str = "tu-resnet18", **options: Any) -> Entry:
    return Entry(
        name=f"smp_{architecture.lower()}", family="segmentation", factory="segmentation:smp_net",
        kwargs={"architecture": architecture, "encoder": encoder, **options},
        inputs={"x": _fp32(3, 64, 64)}, packages=("timm", "segmentation_models_pytorch"),
    )  # fmt: skip


_SEGMENTATION = (
    _smp("Unet"),
    _smp("UnetPlusPlus", "tu-mobilenetv3_small_100"),
    _smp("FPN"),
    _smp("DeepLabV3Plus"),
    _smp("MAnet"),
    Entry(
        name="esrgan", family="segmentation", factory="segmentation:spandrel_net", packages=("spandrel",),
        kwargs={"architecture": "ESRGAN.__arch.RRDB", "network": "RRDBNet", "num_filters": 8, "num_blocks": 2, "scale": 2},
        inputs={"x": _fp32(3, "height", "width", range=(0.0, 1.0))}, axes={"height": (8, 16, 24), "width": (8, 12, 32)},
    ),
    Entry(
        name="swinir", family="segmentation", factory="segmentation:spandrel_net", packages=("spandrel",),
        kwargs={
            "architecture": "SwinIR", "network": "SwinIR", "img_size": 16, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2],
            "window_size": 4, "mlp_ratio": 2.0, "upscale": 2, "upsampler": "pixelshuffledirect",
        },
        inputs={"x": _fp32(3, 16, 16, range=(0.0, 1.0))},
    ),
)  # fmt: skip


def _monai(name: str, size: int = 16, argument: str = "x", **options: Any) -> Entry:
    return Entry(
        name=f"monai_{name.lower()}", family="medical", factory="medical:monai_net", kwargs={"name": name, **options},
        inputs={argument: _fp32(1, size, size, size)}, packages=("monai",),
    )  # fmt: skip


_VOLUME = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
_LEVELS = {**_VOLUME, "channels": [8, 16, 32], "strides": [2, 2]}
_UNETR = {"in_channels": 1, "out_channels": 2, "img_size": 32, "feature_size": 4, "hidden_size": 48, "mlp_dim": 96, "num_heads": 4}

_MEDICAL = (
    _monai("UNet", **_LEVELS, num_res_units=2),
    _monai("AttentionUnet", **_LEVELS),
    _monai("BasicUNet", 32, **_VOLUME, features=[8, 8, 16, 16, 16, 8]),
    _monai("SegResNet", **_VOLUME, init_filters=8, blocks_down=[1, 1, 1], blocks_up=[1, 1]),
    _monai("DynUNet", **_VOLUME, kernel_size=[3, 3, 3], strides=[1, 2, 2], upsample_kernel_size=[2, 2], filters=[8, 16, 16]),
    _monai("VNet", 32, **_VOLUME),
    _monai("UNETR", 32, "x_in", **_UNETR),
    _monai("SwinUNETR", 64, "x_in", in_channels=1, out_channels=2, feature_size=12, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 4]),
    _monai("HighResNet", **_VOLUME),
    _monai("DenseNet121", 32, **_VOLUME),
    _monai("EfficientNetBN", 32, "inputs", model_name="efficientnet-b0", spatial_dims=3, in_channels=1, num_classes=3),
    _monai("ViT", in_channels=1, img_size=16, patch_size=8, hidden_size=48, mlp_dim=96, num_layers=2, num_heads=4, spatial_dims=3),
    *(
        Entry(
            name=f"nnunet_{name}", family="medical", factory="medical:nnunet", kwargs={"residual": name == "residual"},
            inputs={"x": _fp32(1, 16, 16, 16)}, packages=("dynamic_network_architectures",),
        )
        for name in ("plain", "residual")
    ),
    Entry(
        name="unet3d", family="medical", factory="medical:unet3d", packages=("unet",), inputs={"x": _fp32(1, "depth", 16, 16)},
        axes={"depth": (8, 16, 32)}, steps={"depth": 8},
    ),
)  # fmt: skip


def _language(name: str, configuration: str, *, mask: bool = True, **options: Any) -> Entry:
    inputs = {"input_ids": _ids(100, "sequence")}
    if mask:
        inputs["attention_mask"] = _ids(2, "sequence")
    return Entry(
        name=name.lower(), family="language", factory="language:hf_net", axes={"sequence": (4, 12, 20)},
        kwargs={"network": name, "configuration": configuration, "vocab_size": 100, **options},
        inputs=inputs, packages=("transformers",),
    )  # fmt: skip


_DECODER = {**_SMALL, "use_cache": False}
_SEQ2SEQ = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "use_cache": False,
}  # fmt: skip
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 100}

_LANGUAGE = (
    _language("BertModel", "BertConfig", **_SMALL),
    _language("DistilBertModel", "DistilBertConfig", dim=32, n_layers=2, n_heads=4, hidden_dim=64),
    _language("RobertaForSequenceClassification", "RobertaConfig", pad_token_id=0, **_SMALL),
    _language("AlbertModel", "AlbertConfig", embedding_size=16, **_SMALL),
    _language("ElectraForTokenClassification", "ElectraConfig", embedding_size=16, **_SMALL),
    _language("DebertaV2Model", "DebertaV2Config", relative_attention=True, pos_att_type=["c2p", "p2c"], **_SMALL),
    _language("MPNetModel", "MPNetConfig", **_SMALL),
    _language("SqueezeBertModel", "SqueezeBertConfig", embedding_size=32, **_SMALL),
    _language("ConvBertModel", "ConvBertConfig", embedding_size=16, **_SMALL),
    _language("FNetModel", "FNetConfig", mask=False, **_SMALL),
    _language("XLNetModel", "XLNetConfig", d_model=32, n_layer=2, n_head=4, d_inner=64, use_mems_eval=False),
    _language("GPT2LMHeadModel", "GPT2Config", n_embd=32, n_layer=2, n_head=4, use_cache=False, bos_token_id=0, eos_token_id=0),
    _language("OPTModel", "OPTConfig", ffn_dim=64, word_embed_proj_dim=32, **_DECODER),
    _language("LlamaForCausalLM", "LlamaConfig", num_key_value_heads=2, **_DECODER),
    _language("Qwen2Model", "Qwen2Config", num_key_value_heads=2, **_DECODER),
    _language("MambaModel", "MambaConfig", mask=False, hidden_size=32, state_size=4, num_hidden_layers=2, use_cache=False),
    Entry(
        name="t5_encoder",
        family="language",
        factory="language:t5_encoder",
        kwargs=_T5,
        packages=("transformers",),
        inputs={"input_ids": _ids(100, "sequence"), "attention_mask": _ids(2, "sequence")},
        axes={"sequence": (4, 12, 20)},
    ),
    Entry(
        name="t5",
        family="language",
        factory="language:hf_net",
        packages=("transformers",),
        kwargs={"network": "T5Model", "configuration": "T5Config", "use_cache": False, **_T5},
        inputs={"input_ids": _ids(100, "source"), "decoder_input_ids": _ids(100, "target")},
        axes={"source": (4, 12, 20), "target": (3, 6, 9)},
    ),
    Entry(
        name="bart",
        family="language",
        factory="language:hf_net",
        packages=("transformers",),
        kwargs={"network": "BartModel", "configuration": "BartConfig", "vocab_size": 100, **_SEQ2SEQ},
        inputs={"input_ids": _ids(100, 12), "decoder_input_ids": _ids(100, 6)},
    ),
)


def _audio(name: str, factory: str, package: str, samples: int | str = 1024, argument: str = "x", **options: Any) -> Entry:
    return Entry(
        name=name, family="audio", factory=f"audio:{factory}", kwargs=options, packages=(package,),
        inputs={argument: _fp32(samples)},
    )  # fmt: skip


_WAVE = {"conv_dim": [16, 16, 16], "conv_stride": [5, 4, 2], "conv_kernel": [10, 8, 4], **_SMALL}
_WAVE_SMALL = {**_WAVE, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "vocab_size": 30}

_AUDIO = (
    Entry(
        name="whisper_encoder", family="audio", factory="audio:whisper_encoder", packages=("transformers",),
        inputs={"input_features": _fp32(16, 80)},
    ),
    *(
        Entry(
            name=name.lower(), family="audio", factory="audio:hf_net", packages=("transformers",),
            kwargs={"network": name, "configuration": configuration, **_WAVE_SMALL, **options},
            inputs={"input_values": _fp32("samples")}, axes={"samples": (1200, 1600, 2400)},
        )
        for name, configuration, options in (
            ("Wav2Vec2ForCTC", "Wav2Vec2Config", {}),
            ("HubertModel", "HubertConfig", {}),
            ("WavLMModel", "WavLMConfig", {}),
        )
    ),
    Entry(
        name="audio_spectrogram_transformer", family="audio", factory="audio:hf_net", packages=("transformers",),
        kwargs={
            "network": "ASTForAudioClassification", "configuration": "ASTConfig", "max_length": 48, "num_mel_bins": 16,
            "patch_size": 8, "frequency_stride": 4, "time_stride": 8, **_SMALL,
        },
        inputs={"input_values": _fp32(48, 16)},
    ),
    Entry(
        name="conformer", family="audio", factory="audio:conformer", packages=("conformer",), inputs={"x": _fp32(20, 32)},
    ),
    _audio("mel_spectrogram", "mel_spectrogram", "nnAudio"),
    _audio("constant_q", "constant_q", "nnAudio", 4096),
    _audio("crepe", "crepe", "torchcrepe"),
    Entry(name="snac", family="audio", factory="audio:snac", packages=("snac",), inputs={"audio": _fp32(1, 256)}),
    Entry(name="demucs", family="audio", factory="audio:demucs", packages=("demucs",), inputs={"mix": _fp32(1, 1364)}),
    Entry(
        name="filterbank", family="audio", factory="audio:filterbank", packages=("asteroid_filterbanks",),
        inputs={"audio": _fp32(1, 512)},
    ),
    Entry(
        name="m5", family="audio", factory="audio:m5", inputs={"audio": _fp32(1, "samples")}, axes={"samples": (1200, 2000, 4000)},
    ),
    Entry(
        name="silero_vad", family="audio", factory="audio:silero_vad", packages=("silero_vad",),
        inputs={"x": Tensor(shape=(1, 576), range=(-0.5, 0.5)), "state": Tensor(shape=(2, 1, 128))},
    ),
)  # fmt: skip

_FIELDS = Tensor(shape=("batch", 4), dtype="int64", range=(0, 9))


def _torchfm(module: str, name: str, **options: Any) -> Entry:
    return Entry(
        name=f"torchfm_{module}", family="recommender", factory="recommender:torchfm_net", packages=("torchfm",),
        kwargs={"module": module, "name": name, **options}, inputs={"x": _FIELDS},
    )  # fmt: skip


_MLP = {"embed_dim": 8, "mlp_dims": [16, 8], "dropout": 0.1}

_RECOMMENDER = (
    _torchfm("dfm", "DeepFactorizationMachineModel", **_MLP),
    _torchfm("wd", "WideAndDeepModel", **_MLP),
    _torchfm("dcn", "DeepCrossNetworkModel", num_layers=2, **_MLP),
    _torchfm("xdfm", "ExtremeDeepFactorizationMachineModel", cross_layer_sizes=[8, 8], **_MLP),
    _torchfm("nfm", "NeuralFactorizationMachineModel", embed_dim=8, mlp_dims=[16], dropouts=[0.1, 0.1]),
    _torchfm(
        "afi", "AutomaticFeatureInteractionModel", embed_dim=8, atten_embed_dim=8, num_heads=2, num_layers=2, mlp_dims=[16],
        dropouts=[0.1, 0.1, 0.1],
    ),
    Entry(
        name="dlrm", family="recommender", factory="recommender:dlrm", inputs={"dense": _fp32(6), "sparse": _FIELDS},
    ),
    Entry(
        name="two_tower", family="recommender", factory="recommender:two_tower", axes={"items": (3, 8, 15)},
        inputs={"history": _ids(50, "items"), "item": _ids(50)},
    ),
    Entry(
        name="tabnet", family="recommender", factory="recommender:tabnet", packages=("pytorch_tabnet",),
        inputs={"x": _fp32(8, range=(0.0, 4.0))},
    ),
    Entry(
        name="ft_transformer", family="recommender", factory="recommender:ft_transformer", packages=("rtdl_revisiting_models",),
        inputs={"x_cont": _fp32(5), "x_cat": _FIELDS},
    ),
    Entry(
        name="tabular_resnet", family="recommender", factory="recommender:tabular_resnet", packages=("rtdl_revisiting_models",),
        inputs={"x": _fp32(8)},
    ),
)  # fmt: skip


def _patched(name: str, network: str, configuration: str, **options: Any) -> Entry:
    return Entry(
        name=name, family="timeseries", factory="timeseries:hf_net", packages=("transformers",),
        kwargs={
            "network": network, "configuration": configuration, "num_input_channels": 3, "context_length": 32, "patch_length": 8,
            "patch_stride": 8, "prediction_length": 8, "d_model": 16, "num_hidden_layers": 2, **options,
        },
        inputs={"past_values": _fp32(32, 3)},
    )  # fmt: skip


_TIMESERIES = (
    Entry(
        name="lstm_forecaster", family="timeseries", factory="timeseries:lstm_forecaster", inputs={"series": _fp32("sequence", 3)},
        axes=_SEQUENCE,
    ),
    Entry(name="gru_seq2seq", family="timeseries", factory="timeseries:seq2seq", inputs={"series": _fp32(12, 3)}),
    Entry(name="dlinear", family="timeseries", factory="timeseries:dlinear", inputs={"series": _fp32(24, 3)}),
    Entry(
        name="nbeats", family="timeseries", factory="timeseries:nbeats", packages=("nbeats_pytorch",),
        inputs={"backcast": _fp32(20)},
    ),
    Entry(name="tcn", family="timeseries", factory="timeseries:tcn", packages=("pytorch_tcn",), inputs={"x": _fp32(3, 24)}),
    Entry(name="inception_time", family="timeseries", factory="timeseries:inception_time", inputs={"series": _fp32(3, 30)}),
    _patched("patchtst", "PatchTSTForPrediction", "PatchTSTConfig", num_attention_heads=4, ffn_dim=32, loss="mse"),
    _patched("patchtsmixer", "PatchTSMixerForPrediction", "PatchTSMixerConfig", loss="mse"),
    _patched(
        "patchtst_classifier", "PatchTSTForClassification", "PatchTSTConfig", num_attention_heads=4, ffn_dim=32, num_targets=4,
    ),
)  # fmt: skip


def _edges(kind: str, **options: Any) -> Entry:
    return Entry(
        name=f"pyg_{kind.lower()}", family="graph", factory="graph:edge_net", packages=("torch_geometric",),
        kwargs={"kind": kind, **options}, axes={"nodes": (6, 8, 12), "edges": (5, 20, 40)},
        inputs={"x": Tensor(shape=("nodes", 5)), "edge_index": Tensor(shape=(2, "edges"), dtype="int64", range=(0, 5))},
    )  # fmt: skip


_GRAPH = (
    _edges("GCNConv"),
    _edges("GATv2Conv", add_self_loops=False),
    _edges("SAGEConv"),
    _edges("GINConv"),
    Entry(
        name="dense_gcn", family="graph", factory="graph:dense_gcn",
        inputs={"x": _fp32(6, 5), "adjacency": _fp32(6, 6, range=(0.0, 1.0))},
    ),
    Entry(name="egnn", family="graph", factory="graph:egnn", inputs={"features": _fp32(6, 4), "places": _fp32(6, 3)}),
    Entry(
        name="point_net", family="graph", factory="graph:point_net", inputs={"points": _fp32(3, "points")},
        axes={"points": (16, 40, 64)},
    ),
)  # fmt: skip

CATALOGUE: tuple[Entry, ...] = (
    *_OPERATORS,
    *_VISION,
    *_VISION_TRANSFORMERS,
    *_SEGMENTATION,
    *_MEDICAL,
    *_LANGUAGE,
    *_AUDIO,
    *_RECOMMENDER,
    *_TIMESERIES,
    *_GRAPH,
)
"""Every entry, family by family."""

SAMPLE = (
    "scatter_add",
    "attention_dynamic",
    "lstm",
    "point_net",
)
"""Names of quick entries that need torch alone: what `make test` runs."""


def entry(name: str) -> Entry:
    """The entry of that name; raises KeyError."""
    return {each.name: each for each in CATALOGUE}[name]
