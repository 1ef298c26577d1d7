"""Trains exo-guide and exports it: corpus, tokenizer, training, GGUF, evaluation, held-out text.

    python train.py                     everything, into models/exo-guide.gguf
    python train.py --resume            goes on from the last checkpoint
    python train.py --from before.gguf --steps 400 --rate 1e-3 --muon-rate 0.006
                                        teaches a trained model what changed in the corpus
    python train.py --steps 300 --out early.gguf
"""

import argparse
import math
import time
from contextlib import nullcontext
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

import corpus
import evaluate
import export
import tokenizer as chat
from dialogues import Batch, Writer
from model import Guide, Shape
from muon import Muon

ROOT = Path(__file__).parent
HELD_OUT_DIALOGUES = 40
POOL = 32


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=64, help="questions per step")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate of AdamW")
    parser.add_argument("--muon-rate", type=float, default=0.02, help="highest learning rate of Muon")
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=52415)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--evaluate-every", type=int, default=400)
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="checkpoints and tokenizer")
    parser.add_argument("--out", type=Path, default=evaluate.DEFAULT_MODEL)
    parser.add_argument("--held-out", type=Path, default=evaluate.HELD_OUT, help="where the perplexity text goes")
    parser.add_argument("--early", type=Path, help="export here at every evaluation too")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--from", dest="start", type=Path, help="begin with the weights and the tokenizer of this file")
    return parser.parse_args()


def schedule(step: int, steps: int) -> float:
    """Share of the highest rate: linear over the first 3 %, then a cosine to 1 %."""
    warm = max(steps * 3 // 100, 1)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def optimisers(model: Guide, intent_head: nn.Module, options: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for all else."""
    hidden = [p for p in model.blk.parameters() if p.dim() == 2]
    matrices = [model.token_embd.weight, *(p for p in intent_head.parameters() if p.dim() == 2)]
    vectors = [p for module in (model, intent_head) for p in module.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return [
        Muon(hidden, lr=options.muon_rate),
        torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.98), fused=True),
    ]


def precision():
    """bf16 where the processor multiplies it in hardware, f32 elsewhere."""
    if torch.cpu._is_avx512_bf16_supported():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


def loss(model: Guide, intent_head: nn.Linear, batch: Batch) -> tuple[Tensor, float]:
    """Weighted cross-entropy of the text, and that of naming the entry at the end of its question.

    The second one teaches the model to understand a question before it begins to answer; its head is
    thrown away after training.
    """
    hidden = model(batch.tokens[:, :-1])
    weights = batch.weights[:, 1:]
    counted = weights.flatten().nonzero().squeeze(1)
    # Filled up with places of weight 0 to a multiple of 512, so that few shapes occur.
    counted = F.pad(counted, (0, -len(counted) % 512), value=int(weights.flatten().argmin()))
    logits = model.logits(hidden.flatten(0, 1)[counted]).float()
    each = F.cross_entropy(logits, batch.tokens[:, 1:].flatten()[counted], reduction="none")
    text = (each * weights.flatten()[counted]).sum() / weights.sum()
    named = intent_head(hidden[batch.intent_rows, batch.intent_columns]).float()
    return text + 0.1 * F.cross_entropy(named, batch.intents), text.item()


def write_held_out(path: Path, entries: list[corpus.Entry]) -> None:
    """The yardstick for perplexity: held-back questions with their answers, evenly over the corpus."""
    chosen = entries[:: max(len(entries) // HELD_OUT_DIALOGUES, 1)][:HELD_OUT_DIALOGUES]
    blocks = [chat.turn("user", entry.rephrasing) + chat.turn("assistant", entry.answer) for entry in chosen]
    path.write_text("\n".join(blocks), encoding="utf-8")


class Trainer:
    """The state of a training run, saved whole so that it can go on after an interruption."""

    def __init__(self, options: argparse.Namespace, entries: list[corpus.Entry]) -> None:
        self.options, self.entries = options, entries
        self.checkpoint = options.build / "checkpoint.pt"
        options.build.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        self.random = Random(options.seed)
        self.model, self.tokenizer = self.begin()
        self.writer = Writer(entries, self.tokenizer, self.random)
        self.intent_head = nn.Linear(self.model.shape.hidden, len(entries))
        self.optimisers = optimisers(self.model, self.intent_head, options)
        self.rates = [[group["lr"] for group in each.param_groups] for each in self.optimisers]
        self.step = 0

    def begin(self) -> tuple[Guide, Tokenizer]:
        """Random weights and a tokenizer of the corpus, or both as an exported file has them."""
        if self.options.start:
            trained, tokenizer = export.read(self.options.start)
            model = Guide(trained.shape, self.options.dropout)
            model.load_state_dict(trained.state_dict())
            return model, tokenizer
        texts = [text for entry in self.entries for text in [*entry.questions, *[entry.answer] * 3]]
        shape = Shape()
        return Guide(shape, self.options.dropout), chat.train(texts, shape.vocab)

    def save(self) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "intent_head": self.intent_head.state_dict(),
            "optimisers": [each.state_dict() for each in self.optimisers],
            "random": self.random.getstate(),
            "torch": torch.get_rng_state(),
        }
        temporary = self.checkpoint.with_suffix(".part")
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)

    def restore(self) -> None:
        state = torch.load(self.checkpoint, weights_only=False)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.intent_head.load_state_dict(state["intent_head"])
        for each, saved in zip(self.optimisers, state["optimisers"], strict=True):
            each.load_state_dict(saved)
        self.random.setstate(state["random"])
        torch.set_rng_state(state["torch"])

    def update(self, batch: Batch) -> float:
        for each, rates in zip(self.optimisers, self.rates, strict=True):
            for group, rate in zip(each.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(self.step, self.options.steps)
        self.model.train()
        with precision():
            total, text = loss(self.model, self.intent_head, batch)
        for each in self.optimisers:
            each.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for each in self.optimisers:
            each.step()
        self.step += 1
        return text

    def run(self) -> None:
        """Trains to the last step; prints loss, speed and the time left."""
        began, first, losses = time.monotonic(), self.step, []
        while self.step < self.options.steps:
            for batch in self.writer.pool(POOL, self.options.batch):
                losses.append(self.update(batch))
                if self.step % 50 == 0:
                    spent = time.monotonic() - began
                    left = spent / (self.step - first) * (self.options.steps - self.step)
                    print(
                        f"step {self.step}/{self.options.steps}  loss {sum(losses) / len(losses):.4f}  "
                        f"{spent:.0f} s, {left:.0f} s left",
                        flush=True,
                    )
                    losses = []
                if self.step % self.options.evaluate_every == 0:
                    self.pause()
                if self.step >= self.options.steps:
                    return

    def pause(self) -> None:
        """Saves and evaluates; the result decides nothing, so that held-back questions stay held back."""
        self.save()
        with precision():
            trained = evaluate.exact(self.model, self.tokenizer, evaluate.questions(self.entries)[::5])
            held_back = evaluate.exact(self.model, self.tokenizer, evaluate.rephrasings(self.entries))
        print(f"questions, a fifth of them  {trained}; held back  {held_back}", flush=True)
        if self.options.early:
            export.write(self.options.early, self.model, self.tokenizer)


def main() -> None:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    entries = corpus.load()
    trainer = Trainer(options, entries)
    if options.resume:
        trainer.restore()
    print(f"{len(entries)} entries, {trainer.tokenizer.get_vocab_size()} tokens, {trainer.model.parameter_count()} parameters")
    began = time.monotonic()
    trainer.run()
    print(f"trained in {(time.monotonic() - began) / 60:.1f} minutes")
    trainer.save()
    size = export.write(options.out, trainer.model, trainer.tokenizer)
    print(f"{options.out}: {size} bytes")
    write_held_out(options.held_out, entries)
    evaluate.report(*export.read(options.out), entries)


if __name__ == "__main__":
    main()
