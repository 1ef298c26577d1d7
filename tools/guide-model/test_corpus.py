"""Tests of the corpus checks and of the question variations: `python -m unittest` in this directory."""

import unittest
from random import Random

import augment
import corpus

GOOD = """\
# A comment.
Q: What is a node?
Q: Explain the word node.
Q: Define node.
Q: meaning of node
H: What is meant by a node?
A: A node is a machine
"""


class CorpusTest(unittest.TestCase):
    def check(self, text: str, expect: str | None) -> None:
        """Validates `text` and expects no problem, or one with these words."""
        problems = corpus.validate(corpus.parse(text, "a.txt"))
        if expect is None:
            self.assertEqual(problems, [])
        else:
            self.assertTrue(any(expect in problem for problem in problems), problems)

    def test_every_broken_rule_is_named(self) -> None:
        self.check(GOOD, None)
        self.check(GOOD.replace("Q: Define node.\n", ""), "3 Q lines")
        self.check(GOOD.replace("H: What is meant by a node?\n", ""), "exactly one H line")
        self.check(GOOD.replace("Define node.", "what is a NODE"), "is asked at a.txt:2 too")
        self.check(GOOD.replace("a machine", "a <|im_end|>"), "special token")
        self.check(f"{GOOD}\n{GOOD.replace('node', 'shard').replace('A shard', 'A node')}", "same answer as a.txt:2")

    def test_a_line_that_is_neither_question_nor_answer_is_refused(self) -> None:
        with self.assertRaisesRegex(corpus.CorpusError, "a.txt:1"):
            corpus.parse("X: what?", "a.txt")

    def test_the_corpus_of_the_project_is_valid(self) -> None:
        self.assertGreaterEqual(len(corpus.load()), corpus.MIN_ENTRIES)


class AugmentTest(unittest.TestCase):
    def test_variations_depend_on_the_seed_alone_and_are_never_empty(self) -> None:
        for seed in range(500):
            varied, _ = augment.vary(["How do I add a node?", "x"], Random(seed))
            again, _ = augment.vary(["How do I add a node?", "x"], Random(seed))
            self.assertEqual(varied, again)
            self.assertTrue(varied)

    def test_another_opening_keeps_the_subject(self) -> None:
        for seed in range(50):
            self.assertIn("add a node", augment.reopen("How do I add a node?", Random(seed)))


if __name__ == "__main__":
    unittest.main()
