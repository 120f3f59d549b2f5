"""Maps a file, runs mmview on itself, closes the mapping, and runs mmview again.

    python3 map_file.py [FILE]

Set MMVIEW to the path of mmview if it is not on the PATH.
"""

import mmap
import os
import subprocess
import sys
import tempfile

MMVIEW = os.environ.get("MMVIEW", "mmview")


def look(path):
    """Shows the regions of a file in this process."""
    sys.stdout.flush()
    subprocess.run([MMVIEW, "regions", str(os.getpid()), "--path", path], check=True)


def holds(check):
    """Whether a check holds for this process."""
    done = subprocess.run([MMVIEW, "check", str(os.getpid()), check], stdout=subprocess.DEVNULL)
    return done.returncode == 0


def main():
    if len(sys.argv) > 1:
        path = os.path.realpath(sys.argv[1])
    else:
        file = tempfile.NamedTemporaryFile(suffix=".txt")
        file.write(b"Hello, memory map!\n")
        file.flush()
        path = os.path.realpath(file.name)

    with open(path, "r+b") as f:
        print("Before mmap: the file is open, and in no region.")
        assert holds(f'not mapped "{path}"')

        mm = mmap.mmap(f.fileno(), 0)
        print("After mmap: a region of type `mapped file`.")
        look(path)
        assert holds(f'any(kind=mapped-file and path="{path}" and perm=rw-)')

        print("The first line, read through the mapping:", mm.readline())
        mm.flush()
        mm.close()
        print("After close: the region is gone.")
        assert holds(f'not mapped "{path}"')


if __name__ == "__main__":
    main()
