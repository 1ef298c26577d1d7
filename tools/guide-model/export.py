"""Writes exo-guide as GGUF (matrices Q8_0, norms f32) and reads such a file back."""

from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType, TokenType, quants
from tokenizers import AddedToken, Tokenizer

import tokenizer as chat
from model import Guide, Shape

MAX_BYTES = 8 << 20
DESCRIPTION = "small; answers questions about exo only"


class ExportError(Exception):
    """The file cannot be written or is not one of ours; the message says why."""


def vocabulary(tokenizer: Tokenizer, size: int) -> tuple[list[str], list[int]]:
    """Tokens by id and their GGUF types; ids that the tokenizer does not use are filled."""
    tokens = {index: token for token, index in tokenizer.get_vocab().items()}
    names = [tokens.get(index, f"[unused{index}]") for index in range(size)]
    special = set(chat.SPECIAL)
    kinds = [
        TokenType.UNUSED if index not in tokens else TokenType.CONTROL if name in special else TokenType.NORMAL
        for index, name in enumerate(names)
    ]
    return names, [int(kind) for kind in kinds]


def merges(tokenizer: Tokenizer) -> list[str]:
    """Merge rules as GGUF writes them, `left right`, best first."""
    import json

    rules = json.loads(tokenizer.to_str())["model"]["merges"]
    return [rule if isinstance(rule, str) else " ".join(rule) for rule in rules]


def write_metadata(writer: GGUFWriter, tokenizer: Tokenizer, shape: Shape) -> None:
    writer.add_name("exo-guide")
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    writer.add_size_label("5M")
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(2)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocab)
    names, kinds = vocabulary(tokenizer, shape.vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges(tokenizer))
    writer.add_bos_token_id(tokenizer.token_to_id(chat.END_OF_TEXT))
    writer.add_eos_token_id(tokenizer.token_to_id(chat.TURN_END))
    writer.add_pad_token_id(tokenizer.token_to_id(chat.END_OF_TEXT))
    writer.add_add_bos_token(False)
    writer.add_chat_template(chat.CHAT_TEMPLATE)


def write(path: Path, model: Guide, tokenizer: Tokenizer) -> int:
    """Writes the file by way of a temporary name; returns its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    writer = GGUFWriter(temporary, "llama")
    write_metadata(writer, tokenizer, model.shape)
    for name, parameter in model.named_parameters():
        values = parameter.detach().float().numpy()
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    size = temporary.stat().st_size
    if size > MAX_BYTES:
        raise ExportError(f"{path} would have {size} bytes, limit {MAX_BYTES}; make the model smaller")
    temporary.replace(path)
    return size


def read_tokenizer(reader: GGUFReader) -> Tokenizer:
    """Builds the tokenizer from the file alone, as an engine does."""
    from tokenizers import decoders, models, pre_tokenizers

    names = reader.fields["tokenizer.ggml.tokens"].contents()
    rules = [tuple(rule.split(" ")) for rule in reader.fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={name: index for index, name in enumerate(names)}, merges=rules))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in chat.SPECIAL])
    return tokenizer


def read(path: Path) -> tuple[Guide, Tokenizer]:
    """The dequantised model and the tokenizer of an exported file."""
    reader = GGUFReader(path)
    value = lambda key: reader.fields[key].contents()  # noqa: E731
    if value("general.architecture") != "llama":
        raise ExportError(f"{path} has architecture {value('general.architecture')}, expected llama")
    shape = Shape(
        vocab=len(value("tokenizer.ggml.tokens")),
        hidden=value("llama.embedding_length"),
        layers=value("llama.block_count"),
        heads=value("llama.attention.head_count"),
        kv_heads=value("llama.attention.head_count_kv"),
        ffn=value("llama.feed_forward_length"),
        context=value("llama.context_length"),
        rope_base=value("llama.rope.freq_base"),
        norm_eps=value("llama.attention.layer_norm_rms_epsilon"),
    )
    model = Guide(shape)
    weights = {
        tensor.name: torch.from_numpy(np.array(quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
        for tensor in reader.tensors
    }
    model.load_state_dict(weights)
    return model.eval(), read_tokenizer(reader)
