"""Shows the malicious files of `tests/scan.rs`, and a folder of honest ones, to other scanners.

    CASES=/some/folder cargo test --release --test scan -- --ignored write_the_cases
    pip install picklescan==1.0.5 modelscan==0.8.8 fickling==0.1.12 typing_extensions
    cargo build --release --example scan
    python benches/peers/scanners.py /some/folder HONEST_FOLDER

No file is ever loaded. Each scanner runs once per file, with its defaults; what it says is sorted into
flagged, suspicious, clean, and error or skipped.
"""

import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
OURS = HERE.parent.parent / "target/release/examples/scan"
BIN = pathlib.Path(sys.executable).parent


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=600, errors="replace")


def weighbridge(path):
    status = run(OURS, path).returncode
    return {0: "clean", 1: "flagged", 3: "suspicious"}.get(status, "error")


def picklescan(path):
    done = run(BIN / "picklescan", "--path", path)
    if done.returncode == 1:
        return "flagged"
    if done.returncode == 0:
        if "Suspicious globals: 0" not in done.stdout:
            return "suspicious"
        return "error" if "Scanned files: 0" in done.stdout else "clean"
    return "error"


def modelscan(path):
    done = run(BIN / "modelscan", "-p", path, "-r", "json", "-o", "/dev/stdout")
    if done.returncode == 1:
        return "flagged"
    if done.returncode == 0:
        return "error" if '"total_scanned": 0' in done.stdout else "clean"
    return "error"


FICKLING = """
import json, sys
from fickling.fickle import Pickled, StackedPickle
from fickling.analysis import check_safety
path = sys.argv[1]
data = open(path, 'rb').read()
if data[:2] == b'PK':
    import zipfile
    archive = zipfile.ZipFile(path)
    names = [n for n in archive.namelist() if n.endswith('.pkl')]
    streams = [archive.read(n) for n in names]
else:
    streams = [data]
worst = 0
for stream in streams:
    for pickled in StackedPickle.load(stream):
        worst = max(worst, check_safety(pickled).severity.value[0])
print(worst)
"""


def fickling(path):
    done = run(sys.executable, "-c", FICKLING, path)
    try:
        worst = int(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return "error"
    # 0 likely safe, 1 possibly unsafe, 2 suspicious, 3 to 5 likely unsafe and worse.
    return "clean" if worst == 0 else "suspicious" if worst <= 2 else "flagged"


SCANNERS = (weighbridge, picklescan, modelscan, fickling)


def main():
    report = {}
    for kind, folder in zip(("malicious", "honest"), sys.argv[1:]):
        files = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
        print(f"{kind}: {len(files)} files in {folder}")
        print(f"{'scanner':14} {'flagged':>8} {'suspicious':>10} {'clean':>6} {'error':>6} {'seconds':>8}")
        for scanner in SCANNERS:
            counts = dict.fromkeys(("flagged", "suspicious", "clean", "error"), 0)
            start = time.perf_counter()
            for path in files:
                try:
                    said = scanner(path)
                except subprocess.TimeoutExpired:
                    said = "error"
                counts[said] += 1
                report.setdefault(f"{kind} {path.name}", {})[scanner.__name__] = said
            seconds = time.perf_counter() - start
            print(f"{scanner.__name__:14} {counts['flagged']:8} {counts['suspicious']:10} {counts['clean']:6} {counts['error']:6} {seconds:8.1f}", flush=True)
    pathlib.Path("scanners.json").write_text(json.dumps(report, indent=1))


main()
