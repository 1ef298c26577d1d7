"""Share of questions that a model answers word for word at temperature 0.

    python evaluate.py [FILE.gguf]    evaluates the dequantised weights of an exported file
    python evaluate.py --ask "What is a node?"

Greedy decoding gives exactly the expected answer if, and only if, the most likely token is the expected
one at every place of it, its end included. So one pass over question and answer decides, without decoding.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

import corpus
import tokenizer as chat
from model import Guide

ROOT = Path(__file__).parent
HELD_OUT = ROOT / "heldout.txt"
DEFAULT_MODEL = ROOT.parent.parent / "models" / "exo-guide.gguf"


@dataclass
class Score:
    right: int
    total: int
    wrong: list[tuple[str, str]]

    def __str__(self) -> str:
        return f"{100 * self.right / max(self.total, 1):.1f} % ({self.right} of {self.total})"


@torch.inference_mode()
def exact(model: Guide, tokenizer: Tokenizer, pairs: list[tuple[str, str]], before: str = "", batch: int = 64) -> Score:
    """Scores (question, answer) pairs; `before` is a conversation that precedes each of them."""
    model.eval()
    rows = []
    for question, answer in pairs:
        prompt = tokenizer.encode(before + chat.prompt(question)).ids
        rows.append((prompt, tokenizer.encode(answer + chat.TURN_END).ids, question, answer))
    rows.sort(key=lambda row: len(row[0]) + len(row[1]))
    score = Score(0, len(rows), [])
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        tokens = torch.zeros(len(part), max(len(p) + len(a) for p, a, _, _ in part), dtype=torch.long)
        for at, (prompt, answer, _, _) in enumerate(part):
            tokens[at, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        likely = model.logits(model(tokens)).argmax(-1)
        for at, (prompt, answer, question, text) in enumerate(part):
            if likely[at, len(prompt) - 1 : len(prompt) + len(answer) - 1].tolist() == answer:
                score.right += 1
            else:
                score.wrong.append((question, text))
    return score


def questions(entries: list[corpus.Entry]) -> list[tuple[str, str]]:
    return [(question, entry.answer) for entry in entries for question in entry.questions]


def rephrasings(entries: list[corpus.Entry]) -> list[tuple[str, str]]:
    return [(entry.rephrasing, entry.answer) for entry in entries]


@torch.inference_mode()
def perplexity(model: Guide, tokenizer: Tokenizer, path: Path) -> float:
    """Over all tokens but the first of each dialogue; dialogues are separated by an empty line."""
    model.eval()
    loss, count = 0.0, 0
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        ids = torch.tensor([tokenizer.encode(block.rstrip("\n") + "\n").ids])
        logits = model.logits(model(ids[:, :-1]))[0]
        loss += F.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        count += ids.shape[1] - 1
    return math.exp(loss / count)


@torch.inference_mode()
def generate(model: Guide, tokenizer: Tokenizer, text: str, limit: int = 120) -> str:
    """Decodes greedily from a rendered prompt to the end of the turn."""
    model.eval()
    ids = tokenizer.encode(text).ids
    start, end = len(ids), tokenizer.token_to_id(chat.TURN_END)
    while len(ids) - start < limit and len(ids) < model.shape.context:
        token = int(model.logits(model(torch.tensor([ids]))[0, -1]).argmax())
        if token == end:
            break
        ids.append(token)
    return tokenizer.decode(ids[start:])


def report(model: Guide, tokenizer: Tokenizer, entries: list[corpus.Entry]) -> tuple[Score, Score]:
    """Prints the shares for trained questions, held-back rephrasings, and both after another exchange."""
    before = chat.turn("user", entries[0].questions[0]) + chat.turn("assistant", entries[0].answer)
    trained = exact(model, tokenizer, questions(entries))
    held_back = exact(model, tokenizer, rephrasings(entries))
    print(f"questions            {trained}")
    print(f"held back            {held_back}")
    print(f"questions, 2nd turn  {exact(model, tokenizer, questions(entries), before)}")
    print(f"held back, 2nd turn  {exact(model, tokenizer, rephrasings(entries), before)}", flush=True)
    return trained, held_back


def main() -> None:
    import export

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--ask", metavar="QUESTION", help="print the answer to one question and stop")
    parser.add_argument("--wrong", action="store_true", help="list what is answered wrongly, with the answer given")
    arguments = parser.parse_args()
    model, tokenizer = export.read(arguments.model)
    if arguments.ask:
        print(generate(model, tokenizer, chat.prompt(arguments.ask)))
        return
    trained, held_back = report(model, tokenizer, corpus.load())
    print(f"perplexity of {HELD_OUT.name}  {perplexity(model, tokenizer, HELD_OUT):.3f}")
    if arguments.wrong:
        for question, answer in trained.wrong + held_back.wrong:
            print(f"? {question}\n  expected {answer}\n  answered {generate(model, tokenizer, chat.prompt(question))}")


if __name__ == "__main__":
    main()
