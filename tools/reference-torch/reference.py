"""transformers and torch behind a line protocol: what exo's conformance checks compare with.

One JSON request a line on standard input, one JSON reply a line on standard output; the first line out tells that
torch is there. A request names a Hugging Face directory and tokens; the reply has the logits after each of them,
computed in float32 on the processor with the plain form of attention. Or it names texts: the reply has the tokens of
each, and the vectors that an encoder makes of it, pooled in every way.
"""

import json
import sys

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, logging

HOW = {"dtype": torch.float32, "attn_implementation": "eager", "local_files_only": True}


def logits(folder: str, tokens: list[int]) -> list[list[float]]:
    """Rows of logits, one for each token."""
    model = AutoModelForCausalLM.from_pretrained(folder, **HOW)
    model.eval()
    with torch.no_grad():
        return model(torch.tensor([tokens]), use_cache=False).logits[0].tolist()


def encodings(folder: str, texts: list[str]) -> list[dict]:
    """Tokens of each text, and vectors of length one: of the mean of the states, of the first and of the last."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, **HOW)
    model.eval()
    found = []
    for text in texts:
        tokens = tokenizer(text)["input_ids"]
        with torch.no_grad():
            states = model(torch.tensor([tokens])).last_hidden_state[0].double()
        pooled = [states.mean(dim=0), states[0], states[-1]]
        vectors = [(vector / vector.norm()).tolist() for vector in pooled]
        found.append({"text": text, "tokens": tokens, "vectors": vectors})
    return found


def reply(message: dict) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    reply({"ready": torch.__version__})
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if "texts" in request:
                reply({"encodings": encodings(request["folder"], request["texts"])})
            else:
                reply({"rows": logits(request["folder"], request["tokens"])})
        except Exception as error:  # The caller shows it, and goes on with the next model.
            reply({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
