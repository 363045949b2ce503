#!/usr/bin/env python3
"""Whole networks in lacuna, ONNX Runtime, OpenVINO and DeepSparse: one core, batch 1 and 32.

    bench/peers/networks.py --lacuna build/lacuna --latency build/bench_latency \\
        [--data $LACUNA_SHARED/data] [--batch 1,32] [--schemes int8,nm:2:4+int8] [--only GLOB] \\
        [--json FILE] [FILE.onnx ...]

Makes its own environments (README.md). Files given by name are timed only: they have no data to score.
"""
import argparse, fnmatch, hashlib, json, os, pathlib, platform, select, signal, subprocess, sys, tempfile

sys.path.append(sys.path.pop(0))  # onnxruntime.py here has the name of the module
import environment

CALIBRATION, CHUNK = 64, 32


class Failed(Exception):
    pass


class Worker:
    """A runtime with a network loaded, in a process that may abort."""

    def __init__(self, python, runtime, file, shapes, options, core=None, realtime=False):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [python, str(environment.HERE / "worker.py"), runtime, str(file), json.dumps(shapes),
             json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            text=True, preexec_fn=None if core is None else lambda: environment.settle(core, realtime))
        self.answer()

    def answer(self, timeout=600):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        if not ready:
            self.process.kill()
        code = self.process.wait()
        self.errors.seek(0)
        why = [l for l in self.errors.read().splitlines() if l.strip()]
        raise Failed(("no answer in time" if not ready else
                      signal.Signals(-code).name if code < 0 else f"exit {code}") +
                     (f": {why[-1].strip()[-160:]}" if why else ""))

    def ask(self, *words):
        try:
            print(*words, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        return self.answer()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.errors.close()


class Row:
    """One runtime on one network at one batch size."""

    def __init__(self, who, runtime, form, options=None):
        self.who, self.runtime, self.form, self.options = who, runtime, form, options or {}
        self.ms, self.times, self.kind, self.score, self.equal, self.note = None, [], None, None, None, ""


def peers_of(operators, stored):
    rows = [Row("ort fp32", "ort", "plain"), Row("ort int8", "ort", "qdq"),
            Row("openvino fp32", "openvino", "plain", {"INFERENCE_PRECISION_HINT": "f32"}),
            Row("openvino int8", "openvino", "nncf"), Row("openvino qdq", "openvino", "qdq"),
            Row("deepsparse fp32", "deepsparse", "plain"), Row("deepsparse int8", "deepsparse", "qdq")]
    if any(flag in open("/proc/cpuinfo").read() for flag in ("avx512_bf16", "amx_bf16")):
        rows.insert(3, Row("openvino bf16", "openvino", "plain", {"INFERENCE_PRECISION_HINT": "bf16"}))
    if operators & {"MatMul", "Gemm", "LSTM"}:
        rows.insert(2, Row("ort dynamic", "ort", "dynamic"))
    if "DequantizeLinear" in stored:
        rows.insert(1, Row("ort stored", "ort", "stored"))
    return rows


class Bench:
    def __init__(self, a, cache, deepsparse):
        self.a, self.cache = a, cache
        self.python = {"ort": sys.executable, "openvino": sys.executable, "deepsparse": deepsparse}
        key = hashlib.sha256(b"".join((environment.HERE / f).read_bytes()
                                      for f in ("files.py", "tasks.py", "requirements.txt")))
        self.folder = cache / "files" / key.hexdigest()[:8]
        self.lock = environment.Lock(a.lock)
        self.core = environment.last_core() if a.core is None else a.core

    # ---- files

    def form(self, net, form):
        """The file of that form, made on first use; failures are remembered."""
        import files
        net.folder.mkdir(parents=True, exist_ok=True)
        target = net.folder / (form + (".xml" if form == "nncf" else ".onnx"))
        failure = net.folder / (form + ".failed")
        if form == "stored":
            return net.file
        if failure.exists():
            raise Failed(failure.read_text())
        if target.exists():
            return target
        if form != "plain":
            plain = self.form(net, "plain")
        print(f"  making {net.name}/{target.name}", file=sys.stderr, flush=True)
        try:
            if form == "plain":
                files.plain(net.file, target)
            elif form == "qdq":
                files.ort_static(plain, target, self.calibration(net))
            elif form == "dynamic":
                files.ort_dynamic(plain, target)
            elif form == "nncf":
                files.nncf_static(plain, target, self.calibration(net))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            target.unlink(missing_ok=True)
            text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"
            failure.write_text(text)
            raise Failed(text)
        return target

    def static(self, net, source, symbols, tag, deepsparse=False):
        import files
        target = net.folder / f"{source.stem}.{tag}{'.ds' if deepsparse else ''}.onnx"
        if not target.exists():
            (files.for_deepsparse if deepsparse else files.static)(source, target, symbols)
        return target

    def symbols(self, net, batch, samples=None):
        """N is the batch; other symbols: as in the samples, TOKENS where tokens are timed."""
        import tasks
        values = {"N": batch}
        for value in net.inputs:
            for i, symbol in enumerate(value["symbols"]):
                if symbol and symbol != "N":
                    stored = net.data_arrays.get(value["name"]) if net.data_arrays else None
                    values[symbol] = tasks.TOKENS if stored is None or (
                        samples is None and "int" in value["type"]) else stored.shape[i]
        return values

    def shapes(self, net, symbols):
        return {v["name"]: {"type": v["type"], "dims": [symbols[s] if s else d for s, d in
                                                        zip(v["symbols"], v["dims"])]}
                for v in net.inputs}

    def describe(self, net):
        """Inputs of the network, its samples."""
        import numpy as np, onnx
        net.folder = self.folder / net.name
        model = onnx.load(net.file, load_external_data=False)
        weights = {t.name for t in model.graph.initializer}
        net.inputs = [{"name": v.name,
                       "type": str(onnx.helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)),
                       "symbols": [d.dim_param for d in v.type.tensor_type.shape.dim],
                       "dims": [d.dim_value for d in v.type.tensor_type.shape.dim]}
                      for v in model.graph.input if v.name not in weights]
        net.fixed = not any("N" in v["symbols"] for v in net.inputs)
        net.stored_operators = {n.op_type for n in model.graph.node}
        limit = max(self.a.items, CALIBRATION) + CALIBRATION
        net.data_arrays, net.labels = net.samples(limit) if net.meta else (None, None)
        if net.data_arrays is None:
            random = np.random.default_rng(1)
            symbols = self.symbols(net, 8)
            net.data_arrays = {v["name"]: (random.standard_normal(v["dims"]) if "float" in v["type"]
                                           else np.ones(v["dims"])).astype(v["type"]) for v in
                               ({**s, "name": n} for n, s in self.shapes(net, symbols).items())}
            net.speed_only = True
        else:
            net.speed_only = False
        if net.fixed and net.meta:  # one call each, states 0
            n = len(next(iter(net.data_arrays.values())))
            for v in net.inputs:
                net.data_arrays.setdefault(v["name"], np.zeros([n] + v["dims"], v["type"]))
        net.axis = {v["name"]: v["symbols"].index("N") if "N" in v["symbols"] else 0 for v in net.inputs}
        first = net.inputs[0]["name"]
        net.n = net.data_arrays[first].shape[net.axis[first]]
        net.n_calibration = CALIBRATION if net.n >= 2 * CALIBRATION else max(1, net.n // 2)

    def items(self, net, begin, end):
        import numpy as np
        feed = {}
        for v in net.inputs:
            x = np.take(net.data_arrays[v["name"]], range(begin, end), axis=net.axis[v["name"]])
            feed[v["name"]] = np.ascontiguousarray(x[0] if net.fixed else x)
        return feed

    def calibration(self, net):
        return [self.items(net, i, i + 1) for i in range(net.n_calibration)]

    # ---- scores

    def chunks(self, net):
        begin, step = net.n_calibration, 1 if net.fixed else min(CHUNK, net.n - net.n_calibration)
        return step, [(i, i + step) for i in range(begin, net.n - step + 1, step)]

    def outputs(self, net, row):
        """The first output for every scored item."""
        import numpy as np
        step, chunks = self.chunks(net)
        symbols = self.symbols(net, step, samples=True)
        results = []
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            if row.runtime == "lacuna":
                for begin, end in chunks:
                    command = [self.a.lacuna, "run", row.file, "-o", folder, "--threads", "1"]
                    for name, x in self.items(net, begin, end).items():
                        np.save(folder / f"in_{name}.npy", x)
                        command += ["-i", f"{name}={folder}/in_{name}.npy"]
                    self.call(command)
                    results.append(np.load(folder / f"{net.first_output}.npy"))
            else:
                source = self.form(net, row.form)
                if row.runtime != "openvino":
                    source = self.static(net, source, symbols, f"s{step}", row.runtime == "deepsparse")
                worker = Worker(self.python[row.runtime], row.runtime, source,
                                self.shapes(net, symbols), row.options)
                try:
                    for begin, end in chunks:
                        np.savez(folder / "in.npz", **self.items(net, begin, end))
                        worker.ask("run", folder / "in.npz", folder / "out.npy")
                        results.append(np.load(folder / "out.npy"))
                finally:
                    worker.close()
        return np.concatenate(results)

    def call(self, command, **more):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **more)
        if done.returncode:
            lines = [l for l in (done.stderr or done.stdout).splitlines() if l.strip()]
            raise Failed((signal.Signals(-done.returncode).name if done.returncode < 0 else "") +
                         (lines[-1][-200:] if lines else f"exit {done.returncode}"))
        return done.stdout

    def score(self, net, rows):
        """Fills kind, score, equal of every row that can run."""
        import tasks
        if not self.a.items:
            for row in rows:
                row.equal = True
            return
        step, chunks = self.chunks(net)
        n, first = len(chunks) * step, chunks[0][0]
        labels = None if net.labels is None else net.labels[first:first + n]
        reference, base = None, 1.0
        for row in rows:
            try:
                out = self.outputs(net, row)
            except Failed as error:
                row.note = row.note or str(error)
                continue
            if reference is None:
                reference = out  # the first row is float32
            row.kind, row.score = tasks.compare(out, reference, labels)
            if row is rows[0] and row.kind == "accuracy":
                base = row.score
            row.equal = net.speed_only or tasks.equal(row.kind, row.score, base, n)

    # ---- times

    def compress(self, net, scheme):
        target = net.folder / ("lacuna." + "".join(c if c.isalnum() else "_" for c in scheme) + ".onnx")
        if target.exists() and target.stat().st_mtime > os.stat(self.a.lacuna).st_mtime:
            return target
        command = [self.a.lacuna, "compress", net.file, "-s", scheme, "-o", target, "--json"]
        if net.task or len(net.inputs) > 1 or net.inputs[0]["type"] != "float32":
            self.call(command)
            return target
        import numpy as np  # a task it can calibrate on: the samples, with classes nobody asks for
        meta = net.folder / "samples" / "models" / net.name / "meta.json"
        meta.parent.mkdir(parents=True, exist_ok=True)
        name = net.inputs[0]["name"]
        np.save(net.folder / "samples" / "x.npy", net.data_arrays[name][:net.n_calibration])
        np.save(net.folder / "samples" / "y.npy", np.zeros(net.n_calibration, np.uint8))
        meta.write_text(json.dumps({
            "name": net.name, "files": {"model": net.file.name}, "inputs": [{"name": name, "file": "x.npy"}],
            "outputs": [], "tasks": [{"task": "features_top1", "x": "x.npy", "y": "y.npy", "input": name,
                                      "value": 0, "n": net.n_calibration}]}))
        self.call([*command, "--meta", meta])
        return target

    def lacuna_rows(self, net):
        rows = [Row("lacuna fp32", "lacuna", None)]
        rows[0].file = net.file
        for scheme in filter(None, self.a.schemes.split(",")):
            row = Row("lacuna " + scheme, "lacuna", None)
            try:
                row.file = self.compress(net, scheme)
                rows.append(row)
            except Failed as error:
                row.file, row.note = None, str(error)
                rows.append(row)
        return rows

    def time(self, net, rows, batch):
        import files
        symbols = self.symbols(net, batch)
        workers = {}
        for row in rows:
            row.times, row.ms = [], None
            try:
                if row.runtime == "lacuna":
                    if not row.file:
                        continue
                    row.timed = net.folder / f"{pathlib.Path(row.file).stem}.timed.b{batch}.onnx"
                    files.static(row.file, row.timed, symbols)
                    continue
                source = self.form(net, row.form)
                if row.runtime != "openvino":
                    source = self.static(net, source, symbols, f"b{batch}", row.runtime == "deepsparse")
                # Loaded on the core, too: OpenVINO and DeepSparse go back to the cores they saw then.
                self.lock.hold()
                workers[row] = Worker(self.python[row.runtime], row.runtime, source,
                                      self.shapes(net, symbols), row.options, self.core,
                                      self.a.realtime)
            except Failed as error:
                row.note = str(error)
        for _ in range(self.a.rounds):
            for row in rows:
                try:
                    if row.runtime == "lacuna" and row.file:
                        self.lock.hold()
                        out = self.call([self.a.latency, row.timed, "1", self.a.seconds],
                                        preexec_fn=lambda: environment.settle(self.core, self.a.realtime))
                        row.times.append(float(out.split()[-2]))
                    elif row in workers:
                        self.lock.hold()
                        row.times.append(workers[row].ask("time", self.a.seconds, self.core,
                                                          int(self.a.realtime))["ms"])
                except Failed as error:
                    row.note = str(error)
                    row.file = None
                    workers.pop(row, None)
        self.lock.release()
        for worker in workers.values():
            worker.close()
        for row in rows:
            row.ms = min(row.times) if row.times else None


def print_rows(net, batch, rows):
    print(f"\n{net.name}, batch {batch}")
    for row in rows:
        ms = f"{row.ms:10.4f}" if row.ms else f"{'-':>10s}"
        score = "" if row.score is None else f"{row.kind} {100 * row.score:.2f} %"
        note = row.note if not row.ms else "" if row.equal else "not at equal accuracy" \
            if row.equal is False else "not scored: " + row.note
        print(f"  {row.who:24s}{ms} ms  {score:20s} {note}".rstrip(), flush=True)


def summary(results):
    head = f"{'network':30s}{'batch':>6s}  {'fastest peer':18s}{'ms':>10s}  {'lacuna':18s}{'ms':>10s}" \
           f"{'ratio':>7s}{'fp32':>7s}{'int8':>7s}"
    print("\nratio: time of the fastest peer at equal accuracy, less what a call costs in its Python, over "
          "lacuna's\n(fp32, int8: that row's alone, at whatever accuracy); above 1 lacuna is faster\n\n" + head
          + "\n" + "-" * len(head))
    for r in results:
        number = lambda x: f"{x:7.2f}" if x else f"{'-':>7s}"
        print(f"{r['network']:30s}{r['batch']:6d}  {r['peer'] or '-':18s}{r['peer_ms'] or 0:10.4f}  "
              f"{r['lacuna'] or '-':18s}{r['lacuna_ms'] or 0:10.4f}{number(r['ratio'])}"
              f"{number(r['ratio_fp32'])}{number(r['ratio_int8'])}")


def result_of(net, batch, rows, call):
    usable = [r for r in rows if r.ms and r.equal]
    least = lambda rs: min(rs, key=lambda r: r.ms, default=None)
    peer = least([r for r in usable if r.runtime != "lacuna"])
    ours = least([r for r in usable if r.runtime == "lacuna"])
    # What Python adds to a call is not the peer's: the time of a network that copies one number.
    peer_ms = max(peer.ms - call.get(peer.runtime, 0), 0.05 * peer.ms) if peer else None
    over = lambda r: peer_ms / r.ms if peer and r and r.ms else None
    named = lambda who: next((r for r in rows if r.who == who), None)
    return {"network": net.name, "batch": batch, "peer": peer and peer.who, "peer_ms": peer and peer.ms,
            "lacuna": ours and ours.who, "lacuna_ms": ours and ours.ms, "ratio": over(ours),
            "ratio_fp32": over(named("lacuna fp32")), "ratio_int8": over(named("lacuna int8")),
            "rows": [{"runtime": r.who, "ms": r.ms, "score_kind": r.kind, "score": r.score,
                      "equal": r.equal, "rounds": r.times, "note": r.note} for r in rows]}


def call_cost(bench):
    """ms of a call for each runtime: a network that copies one number."""
    import onnx, tasks
    from onnx import TensorProto, helper
    file = bench.cache / "call.onnx"
    value = lambda n: helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 1])
    onnx.save(helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "call",
              [value("x")], [value("y")]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file)
    net = tasks.Network("call", file)
    bench.describe(net)
    rows = [Row(r, r, "plain") for r in ("ort", "openvino", "deepsparse")]
    bench.time(net, rows, 1)
    for row in rows:
        if row.note:
            print(f"{row.who} does not run here: {row.note}")
    return {r.runtime: r.ms for r in rows if r.ms}


def machine():
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "")
    return {"cpu": model, "system": platform.platform(), "python": platform.python_version()}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    environment.add_arguments(parser)
    parser.add_argument("--lacuna", default="build/lacuna", help="the command")
    parser.add_argument("--latency", default="build/bench_latency", help="the program that times it")
    parser.add_argument("--data", default=os.path.join(os.environ.get("LACUNA_SHARED", "../shared"), "data"))
    parser.add_argument("--batch", default="1,32")
    parser.add_argument("--schemes", default="int8", help="schemes of lacuna compress, by commas")
    parser.add_argument("--only", default="*", help="networks of the data folder (glob); '' for none")
    parser.add_argument("--peers", default="*", help="rows of the peers (globs), e.g. 'openvino*,*fp32'")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="of one runtime's turn in a round")
    parser.add_argument("--items", type=int, default=512, help="samples scored at most; 0: none are, every row counts")
    parser.add_argument("--prepare", action="store_true", help="only make the files")
    parser.add_argument("--json", help="file for the results")
    parser.add_argument("files", nargs="*")
    return parser.parse_args()


def main():
    a = arguments()
    cache = environment.cache_folder(a.cache)
    environment.enter(cache)
    try:
        deepsparse = environment.python_of(cache, "requirements-deepsparse.txt")
    except subprocess.CalledProcessError:
        deepsparse = sys.executable  # its rows say what is missing
    import tasks, onnx, onnxruntime, openvino
    bench = Bench(a, cache, deepsparse)
    nets = [n for n in tasks.networks(a.data) if fnmatch.fnmatch(n.name, a.only)] if a.only else []
    nets += [tasks.Network(pathlib.Path(f).stem, pathlib.Path(f).resolve()) for f in a.files]
    versions = {"onnxruntime": onnxruntime.__version__, "openvino": openvino.__version__.split("-")[0],
                "deepsparse": "1.8.0", "onnx": onnx.__version__}
    call = {} if a.prepare else call_cost(bench)
    print(json.dumps(machine()), json.dumps(versions), f"core {bench.core}",
          "call: " + ", ".join(f"{k} {v * 1e3:.0f} us" for k, v in call.items()), sep="\n", flush=True)
    results = []
    for net in nets:
        bench.describe(net)
        net.first_output = onnx.load(net.file, load_external_data=False).graph.output[0].name
        rows = [r for r in peers_of(net.stored_operators, net.stored_operators)
                if any(fnmatch.fnmatch(r.who, p) for p in a.peers.split(",")) or r.who == "ort fp32"]
        for row in rows:
            try:
                bench.form(net, row.form)
            except Failed as error:
                row.note = str(error)
        if a.prepare:
            for row in rows:
                if row.note:
                    print(f"{net.name}: {row.who}: {row.note}", flush=True)
            continue
        rows += bench.lacuna_rows(net)
        bench.score(net, rows)
        for batch in map(int, a.batch.split(",")):
            if net.fixed and batch != 1:
                continue
            bench.time(net, rows, batch)
            print_rows(net, batch, rows)
            results.append(result_of(net, batch, rows, call))
            if a.json:
                pathlib.Path(a.json).write_text(json.dumps(
                    {"schema": "lacuna.peers/1", "machine": machine(), "versions": versions,
                     "call_ms": call, "command": sys.argv[1:], "networks": results}, indent=1) + "\n")
    if results:
        summary(results)
    return 0 if results or a.prepare else 1


if __name__ == "__main__":
    sys.exit(main())
