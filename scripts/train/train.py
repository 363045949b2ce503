"""Trains the classifiers of glyphs with fixed seeds and saves their weights as OUT/NAME.npz.

usage: train.py OUT NAME...    (names: linear, mlp, vit)

One pass over the training set, every image once, with AdamW and a cosine schedule. From the
middle on, a part of the steps computes its gradient with every matrix pruned to 2 of 4 or to 1 of
4 by magnitude: the weights stay dense, but those of large magnitude learn to do without the rest,
so that pruning in one shot, with no training after it, costs little.
"""
import os
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import glyphs
import models

BATCH = 128
BLOCK = 64 * BATCH  # images drawn at a time
WARMUP = 200
DENSE_PART = 0.4  # of the steps, before the first pruned one
PRUNED_SHARE = 0.3  # of the later steps, for each of 2 of 4 and 1 of 4

# learning rate, weight decay, training images, passes over them
SETTINGS = {"linear": (1e-3, 1e-3, 12000, 40),
            "mlp": (1e-3, 0.02, glyphs.CONSTANTS["TRAIN_COUNT"], 2),
            "vit": (2e-3, 0.05, glyphs.CONSTANTS["TRAIN_COUNT"], 1)}


def pixels(images):
    return images[:, None].astype(jnp.float32) * models.SCALE + models.BIAS


def accuracy(apply, w, images, labels):
    right = 0
    for i in range(0, len(images), 500):
        right += int((apply(w, pixels(images[i:i + 500])).argmax(1) == labels[i:i + 500]).sum())
    return right / len(images)


def make_step(apply, axis, pattern, rate, decay, total):
    """One AdamW step, with the matrices pruned to pattern (n, m) or dense if it is None."""
    def loss(w, x, y):
        if pattern is not None:
            w = models.pruned(w, axis, *pattern)
        return -jnp.take_along_axis(jax.nn.log_softmax(apply(w, x)), y[:, None], 1).mean()

    @jax.jit
    def step(w, first, second, images, labels, t):
        value, g = jax.value_and_grad(loss)(w, pixels(images), labels)
        norm = jnp.sqrt(sum((x * x).sum() for x in g.values()))
        g = {k: x * jnp.minimum(1, 1 / norm) for k, x in g.items()}
        now = rate * jnp.minimum(1, t / WARMUP) * (0.5 + 0.5 * jnp.cos(jnp.pi * t / total))
        first = {k: 0.9 * first[k] + 0.1 * g[k] for k in w}
        second = {k: 0.99 * second[k] + 0.01 * g[k] ** 2 for k in w}
        new = {}
        for k in w:
            move = first[k] / (1 - 0.9 ** t) / (jnp.sqrt(second[k] / (1 - 0.99 ** t)) + 1e-8)
            new[k] = w[k] - now * (move + (decay * w[k] if w[k].ndim == 2 else 0))
        return new, first, second, value
    return step


def train(name, out):
    init, apply, apply_training, axis = models.MODELS[name]
    rate, decay, count, passes = SETTINGS[name]
    rng = np.random.default_rng(1)
    w = {k: jnp.asarray(v) for k, v in init(glyphs.CLASSES, rng).items()}
    first = {k: jnp.zeros_like(v) for k, v in w.items()}
    second = {k: jnp.zeros_like(v) for k, v in w.items()}
    total = passes * count // BATCH
    patterns = [None] if name == "linear" else [None, (2, 4), (1, 4)]
    steps = [make_step(apply_training, axis, p, rate, decay, total) for p in patterns]
    test = glyphs.test_set()
    apply = jax.jit(apply)
    t = 0
    start = time.time()
    losses = []
    for p in range(passes):
        for begin in range(0, count - BATCH + 1, BLOCK):
            images, labels = glyphs.draw(glyphs.CONSTANTS["TRAIN_SEED"], begin,
                                         min(BLOCK, count - begin))
            order = rng.permutation(len(images))
            for i in range(0, len(images) - BATCH + 1, BATCH):
                t += 1
                kind = 0
                if len(steps) > 1 and t > DENSE_PART * total:
                    draw = rng.random()
                    kind = 1 if draw < PRUNED_SHARE else 2 if draw < 2 * PRUNED_SHARE else 0
                chosen = order[i:i + BATCH]
                w, first, second, value = steps[kind](w, first, second, images[chosen],
                                                      labels[chosen].astype(np.int32), float(t))
                if kind == 0:
                    losses.append(float(value))
            if (begin // BLOCK) % 8 == 7:
                print(f"{name}: step {t}/{total} loss {np.mean(losses[-200:]):.4f} test "
                      f"{accuracy(apply, w, *test):.4f} {time.time() - start:.0f} s", flush=True)
                np.savez(os.path.join(out, name + ".part.npz"), **w)
    np.savez(os.path.join(out, name + ".npz"), **w)
    print(f"{name}: test accuracy {accuracy(apply, w, *test):.4f}", flush=True)
    if name != "linear":
        for n, m in ((2, 4), (1, 4)):
            value = accuracy(apply, models.pruned(w, axis, n, m), *test)
            print(f"{name}: test accuracy pruned to {n}:{m} {value:.4f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3 or any(name not in models.MODELS for name in sys.argv[2:]):
        sys.exit(__doc__)
    os.makedirs(sys.argv[1], exist_ok=True)
    for model in sys.argv[2:]:
        train(model, sys.argv[1])
