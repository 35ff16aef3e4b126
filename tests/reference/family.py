"""Literal versions of published consistency methods: lists, loops, math, no torch ops.

Written from the papers' equations and what the released code does, not from the
package, which is compared with them. Gradients come from finite differences.
"""

from __future__ import annotations

import math


def softmax(row):
    largest = max(row)
    powers = [math.exp(z - largest) for z in row]
    total = sum(powers)
    return [power / total for power in powers]


def argmax(row):
    return max(range(len(row)), key=lambda c: row[c])


def cross_entropy(target, row):
    """-log softmax(row)[target]."""
    return -math.log(softmax(row)[target])


def fixmatch(weak, strong, threshold):
    total = 0.0
    for w, s in zip(weak, strong, strict=True):
        if max(softmax(w)) >= threshold:
            total += cross_entropy(argmax(w), s)
    return total / len(weak)


def mean_square(weak, strong):
    total = 0.0
    for w, s in zip(weak, strong, strict=True):
        p, q = softmax(w), softmax(s)
        total += sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / len(p)
    return total / len(weak)


class FlexMatch:
    def __init__(self, num_classes, images, threshold):
        self.num_classes, self.threshold = num_classes, threshold
        self.last = dict.fromkeys(images, -1)

    def step(self, weak, strong, index):
        counts = [
            sum(1 for c in self.last.values() if c == number)
            for number in range(self.num_classes)
        ]
        unused = sum(1 for c in self.last.values() if c == -1)
        most = max(*counts, unused, 1)
        limit = []
        for count in counts:
            beta = count / most
            limit.append(self.threshold * beta / (2 - beta))
        total, kept, fresh = 0.0, [], []
        for w, s, image in zip(weak, strong, index, strict=True):
            p = softmax(w)
            c = argmax(p)
            keep = max(p) >= limit[c]
            kept.append(float(keep))
            if keep:
                total += cross_entropy(c, s)
            if max(p) >= self.threshold:
                fresh.append((image, c))
        for image, c in fresh:
            self.last[image] = c
        return total / len(weak), kept


class FreeMatch:
    def __init__(self, num_classes, momentum, fairness):
        self.m, self.fairness, self.num_classes = momentum, fairness, num_classes
        self.tau = 1 / num_classes
        self.p = [1 / num_classes] * num_classes
        self.h = [1 / num_classes] * num_classes

    def step(self, weak, strong):
        probs = [softmax(w) for w in weak]
        n, classes = len(weak), range(self.num_classes)
        mean_confidence = sum(max(p) for p in probs) / n
        self.tau = self.m * self.tau + (1 - self.m) * mean_confidence
        for c in classes:
            self.p[c] = self.m * self.p[c] + (1 - self.m) * sum(p[c] for p in probs) / n
            share = sum(1 for p in probs if argmax(p) == c) / n
            self.h[c] = self.m * self.h[c] + (1 - self.m) * share
        total, kept = 0.0, []
        for p, s in zip(probs, strong, strict=True):
            c = argmax(p)
            if max(p) >= self.tau * self.p[c] / max(self.p):
                total += cross_entropy(c, s)
                kept.append(softmax(s))
        penalty = 0.0
        if kept:
            mean = [sum(q[c] for q in kept) / len(kept) for c in classes]
            hist = [sum(1 for q in kept if argmax(q) == c) / len(kept) for c in classes]
            wanted = [self.p[c] / self.h[c] for c in classes]
            found = [mean[c] / hist[c] if hist[c] else 0.0 for c in classes]
            penalty = sum(
                wanted[c] / sum(wanted) * math.log(found[c] / sum(found) + 1e-12)
                for c in classes
            )
        return total / n + self.fairness * penalty, len(kept)


class SoftMatch:
    def __init__(self, num_classes, momentum):
        self.m = momentum
        self.mu, self.var = 1 / num_classes, 1.0

    def step(self, weak, strong):
        confidence = [max(softmax(w)) for w in weak]
        mean = sum(confidence) / len(confidence)
        var = sum((c - mean) ** 2 for c in confidence) / (len(confidence) - 1)
        self.mu = self.m * self.mu + (1 - self.m) * mean
        self.var = self.m * self.var + (1 - self.m) * var
        total = 0.0
        for c, w, s in zip(confidence, weak, strong, strict=True):
            distance = min(c - self.mu, 0.0)
            weight = math.exp(-(distance**2) / (2 * self.var / 4))
            total += weight * cross_entropy(argmax(w), s)
        return total / len(weak)


def align(p, mean, prior):
    mass = [a * (b + 1e-6) / (m + 1e-6) for a, b, m in zip(p, prior, mean, strict=True)]
    return [value / sum(mass) for value in mass]
