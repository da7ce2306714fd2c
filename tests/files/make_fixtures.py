"""Writes the fixtures and `expected.json` with the official writers and readers.

    python tests/files/make_fixtures.py

Needs numpy, safetensors 0.8.0, gguf 0.19.0 and torch 2.15.0 (`requirements.txt` beside this file).
The result is the same on every run, so that `git diff` shows what a new version of a writer changed.
What a file holds is said by the format's own reader, never by this project.
"""

import sys
import warnings

sys.dont_write_bytecode = True

from fixtures import common, expected, gguf_files, safetensors_files, torch_distributed, torch_files  # noqa: E402


def main():
    """Writes everything."""
    # Deprecated and experimental types are written on purpose; NaN blocks multiply on purpose.
    warnings.simplefilter("ignore")
    common.clear()
    fixtures = expected.Fixtures()
    safetensors_files.write(fixtures)
    gguf_files.write(fixtures)
    torch_files.write(fixtures)
    torch_distributed.write(fixtures)
    fixtures.write()
    total = sum(file["bytes"] for file in fixtures.files)
    print(f"{len(fixtures.files)} files, {total:,} bytes")


if __name__ == "__main__":
    main()
