#!/usr/bin/env bash
# Everything of Saring that uses a graphics card, measured on the one that is here: eight minutes at most.
#
#   benchmarks/gpu.sh            # needs a CUDA device, and torch with CUDA in .venv
#   benchmarks/gpu.sh --tiny     # tries the scripts themselves on any machine; its figures mean nothing
#
# PYTHON names another Python than .venv's. One JSON object a line goes to standard output and to out/gpu.jsonl. A part
# that fails or takes longer than its time is named in a line, and the others go on; then the exit status is 1.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
tiny=()
[ "${1:-}" = "--tiny" ] && tiny=(--tiny)
export HF_HUB_OFFLINE=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false
mkdir -p out
: >out/gpu.jsonl
failed=0

if [ ${#tiny[@]} -eq 0 ] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "no CUDA device is to be had: run it on a machine with one, or benchmarks/gpu.sh --tiny" >&2
  exit 1
fi

# seconds, then what to run
part() {
  local limit=$1 status
  shift
  [ ${#tiny[@]} -eq 0 ] || limit=600
  timeout "$limit" "$python" "$@" | tee -a out/gpu.jsonl
  status=${PIPESTATUS[0]}
  if [ "$status" -ne 0 ]; then
    failed=1
    printf '{"benchmark": "gpu", "part": "%s", "status": %d, "limit_s": %d}\n' "$*" "$status" "$limit" | tee -a out/gpu.jsonl
  fi
}

# texts of the demo corpus, for the scripts that take the shared data otherwise; a label that a text lacks is denied
corpus=out/gpu-corpus.jsonl
"$python" - >"$corpus" <<'END'
import json
from pathlib import Path

files = sorted(Path("saring/demo/corpus").glob("*.jsonl"))
rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
keys = {key for row in rows for key in row["labels"]}
for row in rows:
    print(json.dumps(row | {"not_labels": sorted(keys - set(row["labels"]))}))
END

if [ ${#tiny[@]} -eq 0 ]; then
  part 20 benchmarks/_gpu.py card
  part 150 benchmarks/_gpu.py training
  part 80 benchmarks/_gpu.py encoder
  part 60 benchmarks/_gpu.py quality
  part 60 benchmarks/transformer_training.py --texts 2000 --hidden 512 --layers 6 --batch-size 64 --repeats 1
  part 40 benchmarks/pretrain.py --data "$corpus" --texts 2000 --steps 60 --repeats 1
  part 30 benchmarks/encoders.py sentence-transformers --data "$corpus" --texts 1000 --rounds 2
  part 40 benchmarks/transformer_serving.py --data "$corpus" --rows 1478 --hidden 128 --layers 2 --epochs 2
else
  for name in card training encoder quality; do part 0 benchmarks/_gpu.py "$name" --tiny; done
  part 0 benchmarks/transformer_training.py --texts 24 --hidden 32 --layers 1 --repeats 1
  part 0 benchmarks/pretrain.py --data "$corpus" --texts 400 --steps 2 --repeats 1
  part 0 benchmarks/encoders.py sentence-transformers --data "$corpus" --texts 8 --rounds 1
  part 0 benchmarks/transformer_serving.py --data "$corpus" --rows 1478 --hidden 32 --layers 1 --epochs 1
fi
exit "$failed"
