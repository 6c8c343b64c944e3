"""Trains a PyTorch network from the stream and goes on in the middle of an epoch. Research software, not for diagnosis.

    python train_torch.py DATASET CHECKPOINT [--epochs N] [--stop-after STEPS]

Run it again with the same arguments to go on. The losses of a run that was interrupted are those of an unbroken one.
"""

import argparse
import os

import torch
from torch.utils.data import DataLoader

import mtids
from mtids.torch import StreamDataset

BATCH, SEED = 16, 1


def network():
    """A small network for the near view: status from HU."""
    return torch.nn.Sequential(
        torch.nn.Conv3d(1, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv3d(8, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 1),
    )


def loss_of(model, batch):
    """Binary cross-entropy over the rows whose status is known; `None` where there is none."""
    known = batch["metastasis"] >= 0
    if not known.any():
        return None
    # A window of soft tissue, -160 to 240 HU.
    hu = batch["near"][known][:, :1].float()
    logits = model(((hu - 40) / 200).clamp(-1, 1)).squeeze(1)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["metastasis"][known].float())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("checkpoint")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--stop-after", type=int, help="steps, as if the job had been killed there")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    model = network()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = StreamDataset(mtids.open(arguments.dataset), "train", batch_size=BATCH, seed=SEED)
    epoch, step = 0, 0
    if os.path.exists(arguments.checkpoint):
        saved = torch.load(arguments.checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        data.load_state_dict(saved["data"])
        epoch, step = data.epoch, saved["step"]
    while epoch < arguments.epochs:
        data.set_epoch(epoch)
        for batch in DataLoader(data, batch_size=None):
            loss = loss_of(model, batch)
            if loss is not None:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                print(f"epoch {epoch} step {step} loss {loss.item():.9f}", flush=True)
            step += 1
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "data": data.state_dict(), "step": step}
            torch.save(state, arguments.checkpoint + ".tmp")
            os.replace(arguments.checkpoint + ".tmp", arguments.checkpoint)
            if step == arguments.stop_after:
                return
        epoch += 1


if __name__ == "__main__":
    main()
