"""Maps a file and forks: the child reads the same mapping and closes it; the parent's mapping stays.

    python3 fork_map.py

Set MMVIEW to the path of mmview if it is not on the PATH.
"""

import mmap
import os
import subprocess
import sys
import tempfile

MMVIEW = os.environ.get("MMVIEW", "mmview")


def look(who, pid, path):
    """Shows the regions of a file in a process."""
    print(f"{who} [{pid}]:", flush=True)
    subprocess.run([MMVIEW, "regions", str(pid), "--path", path], check=True)


def is_mapped(pid, path):
    """Whether a process has a file mapped."""
    done = subprocess.run([MMVIEW, "check", str(pid), f'mapped "{path}"'], stdout=subprocess.DEVNULL)
    return done.returncode == 0


def main():
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(b"Hello from the parent\n")
        file.flush()
        path = os.path.realpath(file.name)
        mm = mmap.mmap(file.fileno(), 0)

        parent = os.getpid()
        child = os.fork()
        if child == 0:
            print("The child reads through the mapping that it inherited:", mm.readline())
            look("The child", os.getpid(), path)
            assert is_mapped(os.getpid(), path)
            mm.close()
            print("The child has closed it. It is gone in the child, and still there in the parent.")
            assert not is_mapped(os.getpid(), path)
            look("The parent", parent, path)
            sys.stdout.flush()
            os._exit(0)

        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert is_mapped(parent, path)
        print("The parent can still read it:", mm[:5])
        mm.close()
        assert not is_mapped(parent, path)


if __name__ == "__main__":
    main()
