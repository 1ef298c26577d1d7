"""The byte-level BPE tokenizer of exo-guide and its chat format.

The pre-tokenizer is GPT-2's, so that GGUF readers know it as `tokenizer.ggml.pre = gpt-2`.
"""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [END_OF_TEXT, TURN_START, TURN_END]

# Rendered by minijinja and by llama.cpp; the same text as `turn` below writes.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def turn(role: str, content: str) -> str:
    """One message as the chat template writes it."""
    return f"{TURN_START}{role}\n{content}{TURN_END}\n"


def prompt(question: str) -> str:
    """A conversation of one question, up to where the answer begins."""
    return turn("user", question) + f"{TURN_START}assistant\n"


def train(texts: list[str], vocab_size: int) -> Tokenizer:
    """Learns merges from `texts`; the ids of the special tokens are 0, 1 and 2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Lower case too, since people type questions that way.
    tokenizer.train_from_iterator([*texts, *(text.lower() for text in texts)], trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))
