"""transformers and torch behind a line protocol: what exo's conformance checks compare with.

One JSON request a line on standard input, one JSON reply a line on standard output; the first line out tells that
torch is there. A request names a Hugging Face directory and tokens; the reply has the logits after each of them,
computed in float32 on the processor with the plain form of attention.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, logging


def logits(folder: str, tokens: list[int]) -> list[list[float]]:
    """Rows of logits, one for each token."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    model.eval()
    with torch.no_grad():
        return model(torch.tensor([tokens]), use_cache=False).logits[0].tolist()


def reply(message: dict) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    reply({"ready": torch.__version__})
    for line in sys.stdin:
        try:
            request = json.loads(line)
            reply({"rows": logits(request["folder"], request["tokens"])})
        except Exception as error:  # The caller shows it, and goes on with the next model.
            reply({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
