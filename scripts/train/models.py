"""The three classifiers, as functions of a flat dictionary of named weights.

The transformer's matrices are stored [K][N] and multiplied from the right, as its ONNX file keeps
them; the others are [N][K], as Gemm with transB=1 takes them. Every K is a multiple of 16 but 300
and 100, the hidden layers of the fully connected network, which has the shape of LeNet-300-100.
"""
import jax
import jax.numpy as jnp
import numpy as np

SIDE = 28
PATCH = 4
GRID = SIDE // PATCH
TOKENS = GRID * GRID
DIM = 64
HEADS = 4
HIDDEN = 128
DEPTH = 4
EPSILON = 1e-5

# pixels = byte * SCALE + BIAS
SCALE = 1 / 128
BIAS = -0.5


def linear_init(classes, _):
    return {"weight": np.zeros((classes, SIDE * SIDE), np.float32),
            "bias": np.zeros(classes, np.float32)}


def linear_apply(w, x):
    return x.reshape(x.shape[0], -1) @ w["weight"].T + w["bias"]


def mlp_init(classes, rng):
    sizes = [SIDE * SIDE, 300, 100, classes]
    w = {}
    for i in range(3):
        k, n = sizes[i], sizes[i + 1]
        w[f"fc{i + 1}.weight"] = rng.normal(0, (2 / k) ** 0.5, (n, k)).astype(np.float32)
        w[f"fc{i + 1}.bias"] = np.zeros(n, np.float32)
    return w


def mlp_apply(w, x):
    x = x.reshape(x.shape[0], -1)
    x = jax.nn.relu(x @ w["fc1.weight"].T + w["fc1.bias"])
    x = jax.nn.relu(x @ w["fc2.weight"].T + w["fc2.bias"])
    return x @ w["fc3.weight"].T + w["fc3.bias"]


def vit_init(classes, rng):
    def matrix(k, n):
        return rng.normal(0, k ** -0.5, (k, n)).astype(np.float32)

    w = {"patch.weight": matrix(PATCH * PATCH, DIM), "patch.bias": np.zeros(DIM, np.float32),
         "position": rng.normal(0, 0.02, (1, TOKENS, DIM)).astype(np.float32)}
    for i in range(DEPTH):
        b = f"block{i}."
        for name in ("norm1", "norm2"):
            w[b + name + ".weight"] = np.ones(DIM, np.float32)
            w[b + name + ".bias"] = np.zeros(DIM, np.float32)
        shapes = {"query": (DIM, DIM), "key": (DIM, DIM), "value": (DIM, DIM), "proj": (DIM, DIM),
                  "fc1": (DIM, HIDDEN), "fc2": (HIDDEN, DIM)}
        for name, (k, n) in shapes.items():
            w[b + name + ".weight"] = matrix(k, n)
            w[b + name + ".bias"] = np.zeros(n, np.float32)
    w["norm.weight"] = np.ones(DIM, np.float32)
    w["norm.bias"] = np.zeros(DIM, np.float32)
    w["head.weight"] = matrix(DIM, classes) * 0.1
    w["head.bias"] = np.zeros(classes, np.float32)
    return w


def _norm(w, name, x):
    mean = x.mean(-1, keepdims=True)
    x = x - mean
    variance = (x * x).mean(-1, keepdims=True)
    return x * jax.lax.rsqrt(variance + EPSILON) * w[name + ".weight"] + w[name + ".bias"]


def _dense(w, name, x):
    return x @ w[name + ".weight"] + w[name + ".bias"]


def _attention(w, b, x):
    n, t, _ = x.shape

    def heads(name):
        return _dense(w, b + name, x).reshape(n, t, HEADS, DIM // HEADS).transpose(0, 2, 1, 3)

    q, k, v = heads("query"), heads("key"), heads("value")
    scores = q @ k.transpose(0, 1, 3, 2) / (DIM // HEADS) ** 0.5
    mixed = jax.nn.softmax(scores, -1) @ v
    return _dense(w, b + "proj", mixed.transpose(0, 2, 1, 3).reshape(n, t, DIM))


def vit_apply(w, x, tanh_gelu=False):
    """The logits. The approximation of the GELU by tanh, for training only, is a sixth faster."""
    n = x.shape[0]
    x = x.reshape(n, GRID, PATCH, GRID, PATCH).transpose(0, 1, 3, 2, 4)
    x = _dense(w, "patch", x.reshape(n, TOKENS, PATCH * PATCH)) + w["position"]
    for i in range(DEPTH):
        b = f"block{i}."
        x = x + _attention(w, b, _norm(w, b + "norm1", x))
        h = jax.nn.gelu(_dense(w, b + "fc1", _norm(w, b + "norm2", x)), approximate=tanh_gelu)
        x = x + _dense(w, b + "fc2", h)
    return _dense(w, "head", _norm(w, "norm", x).mean(1))


def vit_apply_training(w, x):
    return vit_apply(w, x, tanh_gelu=True)


# name: (initial weights, logits, logits in training, axis of the matrices that holds K)
MODELS = {"linear": (linear_init, linear_apply, linear_apply, 1),
          "mlp": (mlp_init, mlp_apply, mlp_apply, 1),
          "vit": (vit_init, vit_apply, vit_apply_training, 0)}


def matrices(w):
    """The names of the weights that compression prunes and quantises."""
    return [name for name in w if name.endswith(".weight") and w[name].ndim == 2]


def keep_largest(matrix, axis, n, m):
    """1 for the n entries of largest magnitude in each group of m along `axis`, 0 elsewhere."""
    size = jnp.abs(jnp.moveaxis(matrix, axis, -1))
    groups = size.reshape(size.shape[:-1] + (-1, m))
    # A rank by comparison, earlier entries first among equals: a sort would take longer.
    above = groups[..., None, :] > groups[..., :, None]
    earlier = (groups[..., None, :] == groups[..., :, None]) & jnp.tril(jnp.ones((m, m), bool), -1)
    mask = (above | earlier).sum(-1) < n
    return jnp.moveaxis(mask.reshape(size.shape), -1, axis).astype(matrix.dtype)


def pruned(w, axis, n, m):
    """The weights with every matrix pruned to n of m along K; gradients reach what is kept."""
    w = dict(w)
    for name in matrices(w):
        w[name] = w[name] * jax.lax.stop_gradient(keep_largest(w[name], axis, n, m))
    return w
