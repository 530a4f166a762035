"""Writes a Llama of a few thousand random weights into the folder that is named, with a tokenizer of bytes and a chat template."""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHAT = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] or '' }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)

special = ["<|end|>", "<|turn|>", "<|pad|>"]
vocabulary = {token: number for number, token in enumerate(special + sorted(pre_tokenizers.ByteLevel.alphabet()))}
bytes_only = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bytes_only.decoder = decoders.ByteLevel()
bytes_only.add_special_tokens(special)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, eos_token="<|end|>", pad_token="<|pad|>")
tokenizer.chat_template = CHAT

torch.manual_seed(1)
config = LlamaConfig(
    vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=32768, eos_token_id=0, pad_token_id=2, bos_token_id=0,
)
LlamaForCausalLM(config).save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
