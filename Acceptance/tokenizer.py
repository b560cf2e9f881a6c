"""The tokenizer of a GGUF file as the folder that Python clients read (tokenizer.json)."""
import pathlib

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CONTROL = 3


def export(path, folder):
    """Writes the tokenizer of a file whose vocabulary is byte-level pairs split as SmolLM splits, and returns it."""
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
