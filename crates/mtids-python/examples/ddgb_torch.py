"""DD-GB in a PyTorch loop: region and status from a shared trunk. Research software, not for diagnosis.

    python ddgb_torch.py DATASET [--steps N]

The Gram matrix of the tasks' gradients is taken at the output of the trunk, so a step goes through the trunk once.
"""

import argparse

import torch

import mtids
from mtids.balance import Balancer
from mtids.torch import tensors


def trunk():
    """What the tasks share."""
    return torch.nn.Sequential(
        torch.nn.Conv3d(1, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(2),
        torch.nn.Flatten(),
    )


def losses_of(features, heads, batch):
    """A loss per task over the rows whose label is known, and which tasks have any."""
    losses, active = [], []
    for task in ("region", "metastasis"):
        known = batch[task] >= 0
        logits = heads[task](features)
        active.append(bool(known.any()))
        losses.append(torch.nn.functional.cross_entropy(logits[known], batch[task][known]) if known.any() else logits.sum() * 0)
    return losses, active


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    dataset = mtids.open(arguments.dataset)
    shared = trunk()
    heads = torch.nn.ModuleDict({"region": torch.nn.Linear(64, len(dataset.regions)), "metastasis": torch.nn.Linear(64, 2)})
    optimiser = torch.optim.AdamW([*shared.parameters(), *heads.parameters()], lr=1e-3)
    balancer = Balancer("dd-gb", tasks=2)
    step = epoch = 0
    while step < arguments.steps:
        for batch in map(tensors, mtids.Stream(dataset, "train", 16, seed=1, epoch=epoch)):
            output = shared(((batch["wide"][:, :1].float() - 40) / 200).clamp(-1, 1))
            # The tasks read a copy whose gradient is kept apart.
            boundary = output.detach().requires_grad_()
            losses, active = losses_of(boundary, heads, batch)
            optimiser.zero_grad()
            gradients = []
            for loss in losses:
                # Gradients of the heads stay; that of the boundary is taken for the balance.
                boundary.grad = None
                loss.backward(retain_graph=True)
                gradients.append(boundary.grad.flatten() if boundary.grad is not None else torch.zeros(boundary.numel()))
            rows = torch.stack(gradients).double()
            coefficients = balancer.coefficients((rows @ rows.T).numpy(), [loss.item() for loss in losses], active)
            update = torch.from_numpy(coefficients) @ rows
            output.backward(update.float().view_as(output))
            optimiser.step()
            print(f"step {step} losses {[round(loss.item(), 4) for loss in losses]} coefficients {coefficients.round(3).tolist()}", flush=True)
            step += 1
            if step == arguments.steps:
                return
        epoch += 1


if __name__ == "__main__":
    main()
