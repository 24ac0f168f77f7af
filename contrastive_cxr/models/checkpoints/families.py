"""What is known of published weights, as data: names of layers, inputs that they saw, backbones that they may fit.

The names of a file are matched as they are first; a family is tried where its mark is among them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Other names for the layers of a backbone.

    Attributes
    ----------
    title : str
        Whose names they are.
    mark : str
        Pattern that is in one of a file's names where the file has them.
    renames : tuple of (str, str)
        Pattern and replacement, one after the other; they leave what stands before a name alone.
    parts : tuple of str
        Names of the layers that this backbone has as one (queries, keys, values), `joined` its name; a bias that one of
        them has not is 0.
    in_order : bool
        The tensors stand in the order of the backbone's, and have the same last names and shapes.
    """

    title: str
    mark: str
    renames: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()
    joined: str = ""
    in_order: bool = False


_HUGGING_FACE = (
    (r"embeddings\.patch_embeddings\.(projection\.)?", "patch_embed.proj."),
    (r"embeddings\.position_embeddings$", "pos_embed"),
    (r"embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"(^|\.)(?:encoder\.layer|layers?)\.(\d+)\.", r"\1blocks.\2."),
    (r"attention\.attention\.(query|key|value)\.", r"attn.\1."),
    (r"attention\.q_proj\.", "attn.query."),
    (r"attention\.k_proj\.", "attn.key."),
    (r"attention\.v_proj\.", "attn.value."),
    (r"attention\.(?:output\.dense|o_proj)\.", "attn.proj."),
    (r"intermediate\.dense\.|mlp\.up_proj\.", "mlp.fc1."),
    (r"(?<=\d\.)output\.dense\.|mlp\.down_proj\.", "mlp.fc2."),
    (r"mlp\.weights_in\.", "mlp.w12."),
    (r"mlp\.weights_out\.", "mlp.w3."),
    (r"layer_scale(\d)\.lambda1$", r"ls\1.gamma"),
    (r"layernorm_before\.", "norm1."),
    (r"layernorm_after\.", "norm2."),
    (r"(^|\.)layernorm\.", r"\1norm."),
)
_QUERY_KEY_VALUE = ("attn.query.", "attn.key.", "attn.value.")

NAMES = (
    Names(
        "the first DenseNets",
        r"denselayer\d+\.(norm|conv)\.[12]\.",
        ((r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),),
    ),
    Names(
        "layers that torch has wrapped",
        r"\._(orig_mod|checkpoint_wrapped_module|fsdp_wrapped_module)\.",
        ((r"(^|\.)_(orig_mod|checkpoint_wrapped_module|fsdp_wrapped_module)(?=\.)", ""), (r"^\.", "")),
    ),
    Names("transformers in chunks", r"blocks\.\d+\.\d+\.norm1\.", ((r"blocks\.\d+\.(\d+)\.", r"blocks.\1."),)),
    Names(
        "Hugging Face's DINOv3",
        r"layer\.\d+\.mlp\.up_proj\.",
        ((r"embeddings\.register_tokens$", "storage_tokens"), *_HUGGING_FACE),
        _QUERY_KEY_VALUE,
        "attn.qkv.",
    ),
    Names(
        "Hugging Face's vision transformers",
        r"embeddings\.patch_embeddings\.projection\.",
        ((r"embeddings\.register_tokens$", "register_tokens"), *_HUGGING_FACE),
        _QUERY_KEY_VALUE,
        "attn.qkv.",
    ),
    Names(
        "a ResNet as a row of layers",
        r"(^|\.)4\.0\.conv1\.",
        (
            (r"(^|\.)4\.(\d+)\.", r"\1layer1.\2."),
            (r"(^|\.)5\.(\d+)\.", r"\1layer2.\2."),
            (r"(^|\.)6\.(\d+)\.", r"\1layer3.\2."),
            (r"(^|\.)7\.(\d+)\.", r"\1layer4.\2."),
            (r"(^|(?<!downsample)\.)0\.weight$", r"\1conv1.weight"),
            (r"(^|(?<!downsample)\.)1\.(weight|bias|running_\w+|num_batches_tracked)$", r"\1bn1.\2"),
        ),
    ),
    Names("efficientnet_pytorch", r"(^|\.)_blocks\.\d+\._depthwise_conv\.", in_order=True),
)


@dataclass(frozen=True)
class Range:
    """Inputs that weights were trained on, which belong to them whatever a recipe says.

    A file is of these weights where it holds objects of a class that begins with `library`, a tensor named `tensor`, or
    a stem of one channel and a last layer of `outputs`.

    Attributes
    ----------
    title : str
        Whose they are.
    mean, std : float
        Input statistics, in 0..1, that give the same numbers.
    words : str
        The range as its authors say it.
    """

    title: str
    library: str
    tensor: str
    outputs: int
    mean: float
    std: float
    words: str


# 0..1 becomes (x - 0.5) * 2048 = -1024..1024, as torchxrayvision.datasets.normalize makes it
RANGES = (Range("torchxrayvision", "torchxrayvision.", "op_threshs", 18, 0.5, 1 / 2048, "-1024..1024"),)

# Of several networks in a file that fit alike, the one with an earlier word in its place or prefix is taken. A teacher,
# or an average, is what its authors publish; MoCo's keys are its queries' average and are thrown away.
FIRST = ("teacher", "model_ema", "ema", "state_dict_ema", "encoder_q", "online_encoder")
# An optimiser's averages of gradients may have the names and the shapes of the network.
LAST = (
    "encoder_k", "student", "target_encoder", "momentum_encoder", "optimizer", "optim", "opt", "optimizer_states",
    "optimizer_state_dict", "exp_avg", "exp_avg_sq", "momentum_buffer",
)  # fmt: skip

# Biases of queries, keys and values: for a DINOv3 without them timm's filter drops them, whatever they are. Those of
# the keys, the middle third, are masked by their authors.
BIASES = r"attn\.qkv\.bias$"

# Names in a file whose numbers are not yet those of the network, or no longer: what they are, and what to do.
UNLIKE = (
    (
        r"lora_(A|B|embedding)",
        "it holds LoRA adapters",
        "merge them with their network first (merge_and_unload of peft)",
    ),
    (
        r"parametrizations\.|\.weight_(g|v|orig)$",
        "some of its layers compute their weights (weight norm, spectral norm, pruning)",
        "remove that first (torch.nn.utils.parametrize.remove_parametrizations, prune.remove)",
    ),
    (
        r"\.(SCB|qweight|qzeros|absmax|quant_map|zero_point|_packed_params)(\.|$)",
        "its weights are quantised",
        "give those from before the quantisation",
    ),
)


@dataclass(frozen=True)
class Kin:
    """Backbones that are tried where a file does not fit the one that was asked for.

    Attributes
    ----------
    mark : str
        Pattern that is in one of the names of a file for them.
    backbones : tuple of str
        Patterns of their names, as a shell's.
    """

    mark: str
    backbones: tuple[str, ...]


_TRANSFORMERS = (
    "timm/vit_*_patch??_224", "timm/vit_*_patch??_dinov*", "timm/vit_*_patch14_reg4_dinov2", "timm/vit_*_patch8_224",
    "timm/eva_x_*", "timm/eva02_*_patch14_224", "timm/beit_*_224", "timm/vit_*_patch??_clip_224",
)  # fmt: skip
KIN = (
    Kin(r"denselayer\d+\.", ("densenet*",)),
    Kin(r"(layer1|(^|\.)4)\.0\.conv1\.", ("resnet*", "resnext*", "wide_resnet*")),
    Kin(r"blocks\.\d+\.(\d+\.)?attn\.|encoder\.layer\.\d+\.|embeddings\.patch_embeddings\.", _TRANSFORMERS),
    Kin(r"layers\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table", ("timm/swin_*",)),
    Kin(r"stages\.\d+\.blocks\.\d+\.|stages\.\d+\.\d+\.dwconv", ("timm/convnext*",)),
    Kin(r"encoder_layer_\d+\.", ("vit_*",)),
    Kin(r"conv_stem\.", ("timm/tf_efficientnet_lite?", "timm/efficientnet_b?", "timm/mobilenetv3_*")),
    Kin(r"features\.\d+\.\d+\.block\.", ("efficientnet_*", "convnext_*", "mobilenet_v3_*")),
    Kin(r"features\.\d+\.weight", ("vgg*", "alexnet")),
    Kin(r"stage2\.0\.branch", ("shufflenet_*",)),
    Kin(r"Mixed_5b\.|inception3a\.", ("inception_v3", "googlenet")),
)
# networks of a thousand million parameters, which are not looked through
TOO_LARGE = r"_(giant|gigantic|giantopt|enormous|huge|xxlarge|7b|5b)"
# tensors that a library fits to another input size: positions, and nothing that tells one network from another
BY_SIZE = r"pos_embed|position|rel_pos|relative_"
