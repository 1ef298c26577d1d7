"""Reads and checks the questions and answers that exo-guide is trained on.

A corpus file is made of blocks separated by blank lines; `#` starts a comment line. A block has at
least four `Q:` lines (training phrasings), exactly one `H:` line (a rephrasing that is never trained
on) and one `A:` line (the answer).

    python corpus.py --check    counts entries, refuses doubled questions and answers
    python corpus.py --near     lists entries whose questions resemble those of another entry
"""

import argparse
import math
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

DIRECTORY = Path(__file__).parent / "corpus"
MIN_ENTRIES = 600
MIN_QUESTIONS = 4
MAX_ANSWER_CHARS = 260


class CorpusError(Exception):
    """A corpus file breaks the format; the message names the file, the line and the remedy."""


@dataclass
class Entry:
    """One answer with the questions that lead to it."""

    place: str
    questions: list[str] = field(default_factory=list)
    held_back: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    @property
    def answer(self) -> str:
        return self.answers[0]

    @property
    def rephrasing(self) -> str:
        return self.held_back[0]


def squeeze(text: str) -> str:
    """Normalises whitespace, as the comparison of answers does."""
    return " ".join(text.split())


def parse(text: str, name: str) -> list[Entry]:
    """Splits one file into entries; only the form of single lines is checked here."""
    entries: list[Entry] = []
    entry: Entry | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line:
            entry = None
            continue
        if line.startswith("#"):
            continue
        if entry is None:
            entry = Entry(f"{name}:{number}")
            entries.append(entry)
        key, _, value = line.partition(":")
        lines = {"Q": entry.questions, "H": entry.held_back, "A": entry.answers}.get(key)
        if lines is None or not value.strip():
            raise CorpusError(f"{name}:{number}: expected `Q: `, `H: ` or `A: ` and text, found {line!r}")
        lines.append(squeeze(value))
    return entries


def load(directory: Path = DIRECTORY) -> list[Entry]:
    """All entries of a directory in the order of file names, checked."""
    entries = [
        entry
        for path in sorted(directory.glob("*.txt"))
        for entry in parse(path.read_text(encoding="utf-8"), path.name)
    ]
    if problems := validate(entries):
        raise CorpusError("\n".join(problems))
    return entries


def question_key(question: str) -> str:
    """What makes two questions the same: their words, whatever case and punctuation."""
    return " ".join(re.findall(r"[a-z0-9]+", question.lower()))


def validate(entries: list[Entry]) -> list[str]:
    """Every rule that an entry breaks, one line each."""
    problems = []
    seen: dict[str, str] = {}
    answers: dict[str, str] = {}
    for entry in entries:
        if len(entry.questions) < MIN_QUESTIONS:
            problems.append(f"{entry.place}: {len(entry.questions)} Q lines, at least {MIN_QUESTIONS} needed")
        if len(entry.held_back) != 1 or len(entry.answers) != 1:
            problems.append(f"{entry.place}: exactly one H line and one A line needed")
            continue
        if len(entry.answer) > MAX_ANSWER_CHARS:
            problems.append(f"{entry.place}: answer of {len(entry.answer)} characters, limit {MAX_ANSWER_CHARS}")
        for question in entry.questions + entry.held_back:
            key = question_key(question)
            if key in seen:
                problems.append(f"{entry.place}: {question!r} is asked at {seen[key]} too; reword one")
            seen[key] = entry.place
        if any("<|" in text for text in [*entry.questions, *entry.held_back, *entry.answers]):
            problems.append(f"{entry.place}: `<|` begins a special token; leave it out")
        if entry.answer in answers:
            problems.append(f"{entry.place}: same answer as {answers[entry.answer]}")
        answers[entry.answer] = entry.place
    return problems


STOP_WORDS = frozenset(
    "a an the is are do does of in on to for i my me it its what which how can where why when who with and or "
    "that this be from by at as exo tell explain show want need there you your have has if should".split()
)


def words(text: str) -> list[str]:
    """Content words of a question, with plural endings cut."""
    found = re.findall(r"[a-z0-9_./-]+", text.lower())
    return [word.rstrip(".").removesuffix("s") for word in found if word not in STOP_WORDS]


def near(entries: list[Entry], threshold: float) -> list[tuple[float, str, str, str, str]]:
    """Pairs of questions of different entries with a cosine of TF-IDF vectors over the threshold."""
    rows = [(i, q, Counter(words(q))) for i, e in enumerate(entries) for q in e.questions + e.held_back]
    frequency = Counter(word for _, _, bag in rows for word in bag)
    weight = {word: math.log(len(rows) / count) for word, count in frequency.items()}
    vectors = []
    postings: dict[str, list[tuple[int, float]]] = {}
    for row, (_, _, bag) in enumerate(rows):
        vector = {word: count * weight[word] for word, count in bag.items()}
        norm = math.sqrt(sum(value * value for value in vector.values())) or 1.0
        vectors.append({word: value / norm for word, value in vector.items()})
        for word, value in vectors[-1].items():
            postings.setdefault(word, []).append((row, value))
    pairs = []
    for row, vector in enumerate(vectors):
        scores: Counter[int] = Counter()
        for word, value in vector.items():
            for other, other_value in postings[word]:
                if other > row and rows[other][0] != rows[row][0]:
                    scores[other] += value * other_value
        for other, score in scores.items():
            if score >= threshold:
                left, right = entries[rows[row][0]], entries[rows[other][0]]
                pairs.append((score, left.place, rows[row][1], right.place, rows[other][1]))
    return sorted(pairs, reverse=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="check all rules; the default")
    parser.add_argument("--near", action="store_true", help="list questions that resemble each other")
    parser.add_argument("--threshold", type=float, default=0.9, help="similarity that --near reports")
    arguments = parser.parse_args()
    try:
        entries = load()
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.near:
        for score, left, left_question, right, right_question in near(entries, arguments.threshold):
            print(f"{score:.2f}  {left} {left_question!r}  {right} {right_question!r}")
    questions = sum(len(entry.questions) for entry in entries)
    print(f"{len(entries)} entries, {questions} training questions, {len(entries)} held back")
    if len(entries) < MIN_ENTRIES:
        print(f"at least {MIN_ENTRIES} entries are needed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
