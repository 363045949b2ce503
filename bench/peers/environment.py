"""Virtual environments of the peers, below one cache folder; nothing of them is needed elsewhere."""
import fcntl, hashlib, os, pathlib, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent


def cache_folder(given=None):
    default = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
                           "lacuna", "peers")
    folder = pathlib.Path(given or default).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def add_arguments(parser):
    parser.add_argument("--cache", help="folder for virtual environments and files that are made "
                        "(default ~/.cache/lacuna/peers)")
    parser.add_argument("--core", type=int, default=None, help="core to measure on (default: the last)")
    parser.add_argument("--lock", help="file to lock while measuring, where several share the machine")
    parser.add_argument("--realtime", action="store_true",
                        help="measure with real-time priority: for a machine busy with other things (root)")


def settle(core, realtime):
    """This process and its threads belong to the core, and before others where that is asked for."""
    for thread in map(int, os.listdir("/proc/self/task")):
        os.sched_setaffinity(thread, {core})
        if realtime:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))


class Lock:
    """Held while measuring, but never long: others measure too."""

    def __init__(self, path, seconds=20):
        self.file, self.seconds, self.since = open(path, "a") if path else None, seconds, None

    def hold(self):
        if self.since is not None and time.monotonic() - self.since > self.seconds:
            self.release()
            time.sleep(0.05)
        if self.since is None:
            if self.file:
                fcntl.flock(self.file, fcntl.LOCK_EX)
            self.since = time.monotonic()

    def release(self):
        if self.file and self.since is not None:
            fcntl.flock(self.file, fcntl.LOCK_UN)
        self.since = None


def last_core():
    return max(os.sched_getaffinity(0)) if (os.cpu_count() or 1) == len(os.sched_getaffinity(0)) \
        else os.cpu_count() - 1


def python_of(cache, requirements):
    """The interpreter of the environment with what the file lists; made when it is not there."""
    text = (HERE / requirements).read_bytes()
    folder = cache / f"{pathlib.Path(requirements).stem}-{hashlib.sha256(text).hexdigest()[:8]}"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        print(f"installing {requirements} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / requirements], check=True)
        (folder / "done").touch()
    return str(python)


def enter(cache, requirements="requirements.txt"):
    """Continues this program inside the environment."""
    python = python_of(cache, requirements)
    if pathlib.Path(sys.prefix) != pathlib.Path(python).parent.parent:
        os.execv(python, [python, *sys.argv])
