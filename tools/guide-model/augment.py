"""Variations of a question as people type them: case, politeness, other openings, lost words, typos.

Only training questions pass through here; held-back rephrasings are never seen. All randomness comes
from the generator that is passed in.
"""

import re
from random import Random

PREFIXES = (
    "please", "hey,", "hello,", "hi,", "hi exo,", "hello!", "ok,", "so,", "well,", "quick question:",
    "can you tell me:", "tell me,", "excuse me,", "i have a question:", "could you tell me:", "and", "now",
)
SUFFIXES = ("please", "thanks", "in exo", "with exo", "for exo", "exactly", "then", "here", "on my machine", "in short")

# Openings that mean the same; a match of the left is replaced by one of the right.
OPENINGS = [
    (re.compile(pattern, re.IGNORECASE), replacements)
    for pattern, replacements in [
        (r"^how (?:do|can|could|should) (?:i|we|you) (.+?)\??$", (
            "How do I {}?", "How can I {}?", "How could I {}?", "How to {}", "How do you {}?", "How should I {}?",
            "What do I do to {}?", "What is the way to {}?", "What do I type to {}?", "I want to {}.",
            "I need to {}.", "I would like to {}.", "Show me how to {}.", "Tell me how to {}.", "Explain how to {}.",
            "Is there a way to {}?", "Can I {}?", "{}",
        )),
        (r"^i (?:want|need|would like) to (.+?)\.?$", (
            "How do I {}?", "How can I {}?", "I want to {}.", "I need to {}.", "I would like to {}.",
            "How to {}", "What is the way to {}?", "Tell me how to {}.",
        )),
        (r"^can (?:i|we) (.+?)\??$", (
            "Can I {}?", "Could I {}?", "May I {}?", "Is it possible to {}?", "Am I able to {}?", "How can I {}?",
            "Is there a way to {}?",
        )),
        (r"^what (?:does|do) (.+?) do\??$", (
            "What does {} do?", "What is {} for?", "What is {} good for?", "Explain what {} does.",
            "Tell me what {} does.", "What is the purpose of {}?", "What is the job of {}?", "What is the use of {}?",
            "Describe {}.",
        )),
        (r"^what does (.+?) mean\??$", (
            "What does {} mean?", "What is {}?", "What is meant by {}?", "What is the meaning of {}?", "Explain {}.",
            "Define {}.", "Tell me what {} means.", "{} meaning",
        )),
        (r"^(?:what (?:is|are)|explain|describe|define) ([^,?]+?)[?.]?$", (
            "What is {}?", "Explain {}.", "Describe {}.", "Tell me about {}.", "Can you explain {}?", "{}",
            "What do you know about {}?", "Tell me what {} is.",
        )),
        (r"^where (?:is|are|do i find|can i find) (.+?)\??$", (
            "Where is {}?", "Where do I find {}?", "Where can I find {}?", "Where can I look up {}?", "In which place is {}?",
            "Tell me where {} is.", "Find {}.",
        )),
        (r"^(?:which|what) command (.+?)\??$", (
            "Which command {}?", "What command {}?", "Tell me the command that {}.", "Is there a command that {}?",
            "Name the command that {}.", "With which command {}?",
        )),
        (r"^(?:which|what) (.+?)\??$", ("Which {}?", "What {}?", "Tell me which {}.", "Do you know what {}?")),
        (r"^does (.+?)\??$", ("Does {}?", "Tell me, does {}?", "Do you know if {}?", "Is it true that {}?")),
        (r"^is (.+?)\??$", ("Is {}?", "Tell me, is {}?", "Am I right that {}?", "I wonder: is {}?")),
        (r"^(?:show|list|print|name|give) (?:me )?(.+?)\.?$", (
            "Show {}.", "List {}.", "Show me {}.", "Print {}.", "Name {}.", "Give me {}.", "Which are {}?",
            "How do I see {}?", "How can I see {}?",
        )),
    ]
]

FILLERS = frozenset(
    "a an the is are do does of in on to for i my me it its can could how what which please want need there you your".split()
)
NEIGHBOURS = "qwertyuiop asdfghjkl zxcvbnm"


def reopen(question: str, random: Random) -> str:
    """Says the same with another opening, where one is known."""
    for pattern, replacements in OPENINGS:
        if found := pattern.match(question):
            return random.choice(replacements).format(found.group(1))
    return question


def drop_words(question: str, random: Random, share: float) -> str:
    """Loses some words; never all, and rarely those that carry the meaning."""
    parts = question.split()
    kept = [p for p in parts if random.random() > (share * 2 if p.lower().strip("?.,") in FILLERS else share * 0.6)]
    return " ".join(kept) if len(kept) >= max(1, len(parts) // 3) else question


def keywords(question: str, random: Random) -> str:
    """A query as typed into a search box; now and then in another order."""
    parts = [p.strip("?.,!") for p in question.split()]
    kept = [p for p in parts if p and p.lower() not in FILLERS] or parts
    if random.random() < 0.35:
        random.shuffle(kept)
    return " ".join(kept)


def typo(word: str, random: Random) -> str:
    """Doubles, loses, swaps or mistypes one letter of a word of at least four."""
    if len(word) < 4 or not word.isalpha():
        return word
    at = random.randrange(1, len(word) - 1)
    match random.randrange(4):
        case 0:
            return word[:at] + word[at] + word[at:]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
        case _:
            place = NEIGHBOURS.find(word[at].lower())
            return word[:at] + (NEIGHBOURS[place - 1].strip() or word[at]) + word[at + 1 :]


def vary(questions: list[str], random: Random) -> tuple[str, bool]:
    """One of the phrasings, perhaps changed; the flag tells whether it still is as it was written."""
    question = random.choice(questions)
    if random.random() < 0.25:
        return question, True
    if random.random() < 0.45:
        question = reopen(question, random)
    if random.random() < 0.12:
        question = keywords(question, random)
    elif random.random() < 0.12:
        question = f"{question} {random.choice(questions)}"
    if random.random() < 0.5:
        question = drop_words(question, random, random.choice((0.08, 0.15, 0.25)))
    if random.random() < 0.3:
        question = " ".join(typo(w, random) if random.random() < 0.1 else w for w in question.split())
    if random.random() < 0.12:
        question = f"{random.choice(PREFIXES)} {question[:1].lower()}{question[1:]}"
    if random.random() < 0.08:
        question = f"{question.rstrip('?.!')} {random.choice(SUFFIXES)}{random.choice(('?', '', '.'))}"
    if random.random() < 0.3:
        question = question.lower()
    if random.random() < 0.3:
        question = question.rstrip("?.! ")
    elif random.random() < 0.1:
        question = question.rstrip("?.! ") + "?"
    return question.strip() or questions[0], False
