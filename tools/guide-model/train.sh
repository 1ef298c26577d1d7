#!/bin/sh
# Makes models/exo-guide.gguf from the corpus: virtual environment, training, export, evaluation.
# Options go on to train.py. PYTHON names the interpreter, 3.11 or newer; TORCH_INDEX a package index for torch.
set -eu
cd "$(dirname "$0")"

venv=build/venv
if [ ! -x "$venv/bin/python" ]; then
    mkdir -p build
    "${PYTHON:-python3}" -m venv "$venv"
fi
if [ -n "${TORCH_INDEX:-}" ]; then
    "$venv/bin/python" -m pip install --quiet --index-url "$TORCH_INDEX" torch==2.9.1
fi
"$venv/bin/python" -m pip install --quiet --requirement requirements.txt

"$venv/bin/python" corpus.py --check
exec "$venv/bin/python" train.py "$@"
