"""What the suite makes of the model's file: the tokenizer's folder for clients, and weights of 16 bits."""
import pathlib

import gguf
import numpy
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CONTROL = 3


def export_tokenizer(path, folder):
    """Writes the tokenizer of a GGUF file as the folder that Python clients read, and returns it.

    The vocabulary must be byte-level pairs, split as SmolLM splits.
    """
    fields = gguf.GGUFReader(path).fields

    def field(name):
        return fields[f"tokenizer.{name}"].contents()

    kind = (field("ggml.model"), field("ggml.pre"))
    if kind != ("gpt2", "smollm"):
        raise ValueError(f"{path}: expected the tokenizer ('gpt2', 'smollm'), found {kind}")
    tokens = field("ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in field("ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([
        AddedToken(token, special=True, normalized=False)
        for token, kind in zip(tokens, field("ggml.token_type")) if kind == CONTROL])
    result = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=tokens[field("ggml.bos_token_id")],
        eos_token=tokens[field("ggml.eos_token_id")], pad_token=tokens[field("ggml.padding_token_id")],
        clean_up_tokenization_spaces=False)
    result.chat_template = field("chat_template")
    result.save_pretrained(pathlib.Path(folder))
    return result


def write_half_precision(path, target):
    """Writes a GGUF file's weights as 16-bit floating point, so that engines need not round activations."""
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()
    partial = pathlib.Path(f"{target}.part")
    writer = gguf.GGUFWriter(partial, architecture)
    for name, field in reader.fields.items():
        if name == "general.file_type":
            writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
        elif name != "general.architecture" and not name.startswith("GGUF."):
            element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=element)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        is_matrix = len(tensor.shape) > 1
        writer.add_tensor(tensor.name, values.astype(numpy.float16 if is_matrix else numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.rename(target)
