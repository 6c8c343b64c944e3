"""Losses of the tasks, regularisers and the pooled read-out, written from their formulas, one sample at a time."""

import math

import torch


def codes_of(region, metastasis, regions):
    """Joint classes 2 a + b that agree with what is known."""
    return [
        2 * a + b
        for a in range(regions)
        for b in range(2)
        if region in (None, a) and metastasis in (None, b)
    ]


def classes_left(table, codes, count):
    """Classes of a task that remain possible, or None where the sample says nothing about it."""
    left = {table[code] for code in codes}
    return None if None in left or len(left) == count else sorted(left)


def class_weights(counts, beta):
    raw = [(1 - beta) / (1 - beta**n) if n else None for n in counts]
    seen = [w for w in raw if w is not None]
    if not seen:
        return [1.0] * len(counts)
    mean = sum(seen) / len(seen)
    return [1.0 if w is None else w / mean for w in raw]


def log_prior(counts):
    filled = [n or 0.5 for n in counts]
    return [math.log(n / sum(filled)) for n in filled]


def sample_weights(targets, loss, reads_metastasis):
    weights = []
    for weight, metastasis, evidence in zip(targets["weights"], targets["metastasis"], targets["evidence"]):
        counts = reads_metastasis and metastasis is not None
        weights.append(weight * (loss["evidence_weights"][evidence] if counts else 1.0))
    return weights


def set_loss(logits, left, loss):
    """Loss of one sample whose class lies in `left`."""
    log_p = logits.log_softmax(0)
    log_set = log_p[left].logsumexp(0)
    value = -log_set
    if loss["focal_gamma"] > 0:
        value = value * (1 - log_set.exp()) ** loss["focal_gamma"]
    smoothing = loss["label_smoothing"]
    return (1 - smoothing) * value - smoothing * log_p.mean()


def mean_loss(logits, lefts, per_class, per_sample, loss):
    total, norm = 0.0, 0.0
    for row, left in enumerate(lefts):
        if left is None or (len(left) > 1 and not loss["marginalise"]):
            continue
        weight = per_sample[row] * sum(per_class[c] for c in left) / len(left)
        total = total + weight * set_loss(logits[row], left, loss)
        norm += weight
    return total / norm


def measures_loss(predictions, targets):
    """Half the smooth L1 loss, the mean over known entries, each weighted by its sample."""
    total, norm = 0.0, 0.0
    for row, weight, known in zip(predictions, targets["weights"], targets["measures"]):
        for prediction, target in zip(row, known):
            if target is not None:
                target = torch.tensor(target, dtype=torch.float32).to(row.dtype)
                total = total + weight * torch.nn.functional.smooth_l1_loss(prediction, target)
                norm += weight
    return 0.5 * total / norm


def task_loss(task, logits, counts, about):
    loss, targets = about["loss"], about["targets"]
    if not task["table"]:
        return measures_loss(logits, targets)
    regions = len(task["table"]) // 2
    table = task["table"]
    lefts = [
        classes_left(table, codes_of(a, b, regions), task["classes"])
        for a, b in zip(targets["region"], targets["metastasis"])
    ]
    reads = any(table[2 * a] != table[2 * a + 1] for a in range(regions))
    adjusted = logits + loss["logit_adjustment"] * torch.tensor(log_prior(counts), dtype=logits.dtype)
    weights = class_weights(counts, loss["effective_number_beta"])
    return mean_loss(adjusted, lefts, weights, sample_weights(targets, loss, reads), loss)


def variation(load):
    return load.var(unbiased=False) / (load.mean() ** 2 + 1e-12)


def regulariser(tasks, logits, records, terms, about):
    loss, apply = about["loss"], about["gate_terms"]
    total = sum(terms, torch.zeros((), dtype=logits[0].dtype))
    for gates in records:
        if apply["branch_prior"]:
            for alpha, _, _ in gates:
                kl = sum(0.5 * torch.log(0.5 / share) for share in alpha.mean(0))
                total = total + loss["branch_prior_weight"] * kl
        if apply["load_balance"]:
            shared = [(alpha[:, :1] * pi).mean(0) for alpha, pi, _ in gates if pi is not None]
            loads = [sum(shared)] if shared else []
            loads += [(alpha[:, 1:] * pi).mean(0) for alpha, _, pi in gates if pi is not None]
            total = total + loss["load_balance_weight"] * sum(variation(load) for load in loads if len(load) > 1)
    if loss["consistency_weight"] > 0:
        joint = logits[0].detach().softmax(1)
        for task, row in list(zip(tasks, logits))[1:]:
            if None in task["table"] or not task["table"]:
                continue
            p = torch.stack([joint[:, [y for y, c in enumerate(task["table"]) if c == k]].sum(1) for k in range(task["classes"])], 1)
            total = total + loss["consistency_weight"] * (p * (p.log() - row.log_softmax(1))).sum(1).mean()
    return total


def pooled_loss(tasks, logits, eta, about):
    """Cross-entropy of the log-linear pool with detached heads: its gradient reaches eta only."""
    targets, classes = about["targets"], len(tasks[0]["table"])
    scores = 0
    for q, (task, row) in enumerate(zip(tasks, logits)):
        if None in task["table"] or not task["table"]:
            continue
        log_p = row.detach().log_softmax(1)[:, task["table"]]
        scores = scores + (log_p if task["name"] == "joint" else torch.nn.functional.softplus(eta[q]) * log_p)
    lefts = []
    for a, b in zip(targets["region"], targets["metastasis"]):
        codes = codes_of(a, b, classes // 2)
        lefts.append(codes if len(codes) < classes else None)
    return mean_loss(scores, lefts, [1.0] * classes, sample_weights(targets, about["loss"], True), about["loss"])
