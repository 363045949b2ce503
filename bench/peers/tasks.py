"""Networks of a data folder with samples and scores, read from their meta.json."""
import json, pathlib

import numpy as np

TOKENS = 128  # length of a sequence of tokens when timed; other symbols take the stored length


def _image(folder, names, crop, offset):
    from PIL import Image
    y, x = offset
    return np.stack([np.asarray(Image.open(folder / n).convert("RGB"))[y:y + crop, x:x + crop]
                     for n in names])


def _affine(u8, pre):
    x = u8[..., ::-1] if pre["order"] == "BGR" else u8
    x = x.astype(np.float32) * np.float32(pre["scale"]) + np.float32(pre["bias"])
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


class Network:
    """name, file, symbols of its shapes; feeds(n) and score(); calibration() for quantisers."""

    def __init__(self, name, file, meta=None, key=None, data=None):
        self.name, self.file, self.meta, self.key, self.data = name, pathlib.Path(file), meta, key, data
        self.task = None
        for task in (meta or {}).get("tasks", []):
            if task.get("model", key) == key and task["task"] in (
                    "image_top1", "array_top1", "features_top1", "sequence_top1", "sst2"):
                self.task = self.task or task
                if task["task"] == "features_top1":  # the largest of them
                    self.task = max(self.task, task, key=lambda t: t["n"])
        self._samples = None

    def samples(self, limit):
        """({input: array [n, ...]}, labels or None); the samples along the batch axis."""
        if self._samples is None:
            self._samples = self._load(limit)
        return self._samples

    def _load(self, limit):
        t, data = self.task, self.data
        if not self.meta:
            return None, None
        here = self.file.parent
        if not t and self.meta.get("steps"):
            step = next(s for s in self.meta["steps"] if s["model"] == self.key)
            x = np.load(here / step["x"])
            return {step["input"]: x[:, None]}, None  # state 0, one call each
        if not t:
            return {i["name"]: np.load(here / i["file"]) for i in self.meta["inputs"]}, None
        pre = t.get("preprocess") or self.meta["inputs"][0].get("preprocess") or {"kind": "none"}
        name = t.get("input") or self.meta["inputs"][0]["name"]
        if t["task"] == "image_top1":
            folder = data / t["set"]
            lines = [l.split("\t") for l in (folder / "labels.tsv").read_text().splitlines()[1:]][:limit]
            u8 = _image(folder / "img", [l[0] for l in lines], pre["crop"], pre["crop_offset"])
            return {name: _affine(u8, pre)}, np.array([int(l[1]) for l in lines])
        if t["task"] == "sst2":
            ids = np.load(data / (t["set"] + "_ids_i16.npy"))[:limit].astype(np.int64)
            return ({"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)},
                    np.load(data / (t["set"] + "_labels.npy"))[:limit])
        if t["task"] == "array_top1":
            x = np.load(data / (t["set"] + "_u8.npy"))[:limit]
            y = np.load(data / (t["set"] + "_labels.npy"))[:limit]
        else:
            x, y = np.load(data / t["x"])[:limit], np.load(data / t["y"])[:limit]
        if pre["kind"] == "u8_affine":
            x = _affine(x, pre)
        elif pre["kind"] == "scale":
            x = x.astype(np.float32) * np.float32(pre["scale"])
        elif pre["kind"] == "dequant":
            x = (x.astype(np.float32) - pre["zero_point"]) * np.float32(pre["scale"])
            x = x.reshape(len(x), *pre["reshape"])
        x = x.astype(np.float32)
        if t["task"] == "sequence_top1":  # padded: the classes are no longer those of the labels
            return {name: np.ascontiguousarray(x.transpose(1, 0, 2))}, None
        shape = self.meta_shape(name)
        return {name: x.reshape(len(x), *shape) if shape else x}, y

    def meta_shape(self, name):
        """Dimensions of a stored input but the batch's: images of one channel are stored without."""
        file = next((i["file"] for i in self.meta["inputs"] if i["name"] == name), None)
        if not file or not (self.file.parent / file).exists() or "u8" in file:
            return None
        return np.load(self.file.parent / file, mmap_mode="r").shape[1:]


def networks(data):
    data = pathlib.Path(data)
    for file in sorted((data / "models").glob("*/meta.json")):
        meta = json.loads(file.read_text())
        for key, name in meta["files"].items():
            label = meta["name"] if len(meta["files"]) == 1 else f"{meta['name']}_{key}"
            yield Network(label, file.parent / name, meta, key, data)


def compare(outputs, reference, labels):
    """(kind, score): accuracy where there are labels, else agreement with the reference's classes
    or, for outputs that are no classes, the root mean square of the difference, relative."""
    if labels is not None:
        return "accuracy", float((outputs.argmax(-1) == labels[:len(outputs)]).mean())
    reference = reference[:len(outputs)]
    if outputs.ndim == 3 and outputs.shape[-1] == 512 or outputs.shape[-1] == 35:
        return "agreement", float((outputs.argmax(-1) == reference.argmax(-1)).mean())
    return "error", float(np.sqrt(((outputs - reference) ** 2).mean() / (reference ** 2).mean()))


def equal(kind, score, base, n):
    """Within one point of float32, or within one item where a point is less than that."""
    if kind == "error":
        return score <= 0.01
    return score >= base - max(0.01, 1 / n) - 1e-9
