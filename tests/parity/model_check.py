"""Compares exported models with their PyTorch twins: model_check.py <folder written by the example export_model>.

Everything is f64. Compared are logits, losses, regulariser, and the gradient of every parameter: of a parameter that two or more task
losses reach (by autograd's graph, not by name; also where a top-k gate took an expert for one task only) the sum of coefficient times
gradient, of any other the plain gradient of its task, and of both the gradient of the regulariser. Exit code 1 when a relative
difference exceeds 1e-9. In training mode the running statistics behind the pass are compared too.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from model_losses import pooled_loss, regulariser, task_loss
from model_networks import NETWORKS, Weights

TOLERANCE = 1e-9


def relative(found, expected):
    """Largest difference against the largest entry (at least 1e-3, so that gradients near 0 count as such)."""
    scale = max(expected.abs().max().item(), found.abs().max().item(), 1e-3)
    return (found - expected).abs().max().item() / scale


def gradients(value, parameters):
    names = list(parameters)
    found = torch.autograd.grad(value, [parameters[n] for n in names], allow_unused=True, retain_graph=True)
    return {name: gradient for name, gradient in zip(names, found) if gradient is not None}


def check(file):
    about = json.loads(file.read_text())
    tensors = load_file(file.with_suffix(".safetensors"))
    P = {n.removeprefix("weight."): t.clone().requires_grad_() for n, t in tensors.items() if n.startswith("weight.")}
    tasks = about["tasks"]
    names = [task["name"] for task in tasks]
    B = {n.removeprefix("statistic."): t.clone() for n, t in tensors.items() if n.startswith("statistic.")}
    inputs = [tensors[f"input.{view}"] for view in about["views"]]
    network = NETWORKS[about["model"]["architecture"]]
    logits, records, terms = network(Weights(P, B, about), inputs, names, about["model"])
    losses = [task_loss(*of, about) for of in zip(tasks, logits, about["counts"])]
    rest = regulariser(tasks, logits, records, terms, about)
    pooled = pooled_loss(tasks, logits, P["read_out.eta"], about)

    worst = {"logits": 0.0, "values": 0.0, "gradients": 0.0, "statistics": 0.0}

    def compare(kind, what, found, expected):
        difference = relative(found.detach(), expected)
        worst[kind] = max(worst[kind], difference)
        if difference > TOLERANCE:
            print(f"{about['name']}: {what} differs by {difference:.2e}")

    for name, row, loss in zip(names, logits, losses):
        compare("logits", f"logits of {name}", row, tensors[f"logits.{name}"])
        compare("values", f"loss of {name}", loss, tensors[f"loss.{name}"])
    compare("values", "regulariser", rest, tensors["regulariser"])
    compare("values", "pooled loss", pooled, tensors["pooled"])

    for name, expected in tensors.items():
        if name.startswith("after."):
            compare("statistics", name, B[name.removeprefix("after.")], expected)

    by_task = [gradients(loss, P) for loss in losses]
    of_rest = gradients(rest, P) if rest.requires_grad else {}
    of_pooled = gradients(pooled, P)
    assert set(of_pooled) == {"read_out.eta"}, "the read-out moves a head"
    seen = 0
    for name, parameter in P.items():
        reached = [t for t, found in enumerate(by_task) if name in found]
        total = torch.zeros_like(parameter)
        for t in reached:
            total += by_task[t][name] * (about["coefficients"][t] if len(reached) > 1 else 1.0)
        total += of_rest.get(name, 0) + of_pooled.get(name, 0)
        expected = tensors.get(f"gradient.{name}")
        if expected is None:
            assert total.abs().max() == 0, f"{about['name']}: {name} has a gradient in PyTorch only"
            continue
        compare("gradients", f"gradient of {name}", total, expected)
        seen += 1
    assert seen + sum(f"gradient.{n}" not in tensors for n in P) == len(P)
    figures = ", ".join(f"{kind} {value:.1e}" for kind, value in worst.items())
    print(f"{about['name']:60} {seen:4} gradients; largest relative difference: {figures}")
    return max(worst.values()) <= TOLERANCE


def main():
    files = sorted(Path(sys.argv[1]).glob("*.json"))
    assert files, "no exported models"
    results = [check(file) for file in files]
    print(f"{sum(results)} of {len(results)} models agree within {TOLERANCE:g}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
