"""Turns corpus entries into batches of token ids with a weight for each prediction."""

from dataclasses import dataclass, field
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor

from augment import vary
from corpus import Entry
from tokenizer import END_OF_TEXT, TURN_END, prompt, turn

QUESTION_WEIGHT = 0.1
MAX_TOKENS = 448
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "Answer briefly.",
    "You are exo-guide, a small model that answers questions about exo.",
    "You are a helpful assistant. Be short and friendly.",
)


@dataclass
class Dialogue:
    """Token ids; `weights[i]` is that of predicting `ids[i]`; `intents` are (last prompt position, entry)."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    intents: list[tuple[int, int]] = field(default_factory=list)

    def add(self, ids: list[int], weight: float) -> None:
        self.ids += ids
        self.weights += [weight] * len(ids)


@dataclass
class Batch:
    tokens: Tensor
    weights: Tensor
    intent_rows: Tensor
    intent_columns: Tensor
    intents: Tensor


class Writer:
    """Writes dialogues over a corpus; the random generator that is passed in decides everything."""

    def __init__(self, entries: list[Entry], tokenizer: Tokenizer, random: Random) -> None:
        self.entries, self.tokenizer, self.random = entries, tokenizer, random
        self.answers = [tokenizer.encode(f"{entry.answer}{TURN_END}\n").ids for entry in entries]
        self.pad = tokenizer.token_to_id(END_OF_TEXT)

    def exchange(self, dialogue: Dialogue, index: int) -> None:
        """Adds a question about entry `index` and its answer."""
        question, as_written = vary(self.entries[index].questions, self.random)
        dialogue.add(self.tokenizer.encode(prompt(question)).ids, QUESTION_WEIGHT if as_written else 0.0)
        dialogue.intents.append((len(dialogue.ids) - 1, index))
        answer = self.answers[index]
        dialogue.add(answer[:-1], 1.0)
        dialogue.add(answer[-1:], QUESTION_WEIGHT)

    def dialogue(self, indices: list[int]) -> Dialogue:
        dialogue = Dialogue()
        if self.random.random() < 0.06:
            text = turn("system", self.random.choice(SYSTEM_PROMPTS))
            dialogue.add(self.tokenizer.encode(text).ids, 0.0)
        for index in indices:
            if len(dialogue.ids) < MAX_TOKENS - 150:
                self.exchange(dialogue, index)
        return dialogue

    def pool(self, batches: int, size: int) -> list[Batch]:
        """About `batches` batches of `size` exchanges, of dialogues with like lengths; some have several turns."""
        queue: list[int] = []
        while len(queue) < batches * size:
            order = list(range(len(self.entries)))
            self.random.shuffle(order)
            queue += order
        single, several = [], []
        at = 0
        while at < batches * size:
            turns = self.random.choice((2, 2, 2, 3, 3, 4, 5)) if self.random.random() < 0.05 else 1
            (single if turns == 1 else several).append(self.dialogue(queue[at : at + turns]))
            at += turns
        groups = [*groups_of(single, size), *groups_of(several, size // 4)]
        self.random.shuffle(groups)
        return [self.collate(group) for group in groups]

    def collate(self, dialogues: list[Dialogue]) -> Batch:
        """Pads on the right, where causal attention lets nothing see the padding.

        Lengths are multiples of 16: for every new shape the math library prepares its kernels anew.
        """
        length = -(-max(len(dialogue.ids) for dialogue in dialogues) // 16) * 16 + 1
        tokens = torch.full((len(dialogues), length), self.pad)
        weights = torch.zeros(len(dialogues), length)
        places = []
        for row, dialogue in enumerate(dialogues):
            tokens[row, : len(dialogue.ids)] = torch.tensor(dialogue.ids)
            weights[row, : len(dialogue.ids)] = torch.tensor(dialogue.weights)
            places += [(row, column, index) for column, index in dialogue.intents]
        rows, columns, intents = torch.tensor(places).T
        return Batch(tokens, weights, rows, columns, intents)


def groups_of(dialogues: list[Dialogue], rows: int) -> list[list[Dialogue]]:
    """Groups of exactly `rows` dialogues of like lengths; the shortest that are left over are dropped."""
    dialogues.sort(key=lambda dialogue: len(dialogue.ids))
    first = len(dialogues) % rows
    return [dialogues[at : at + rows] for at in range(first, len(dialogues), rows)]
