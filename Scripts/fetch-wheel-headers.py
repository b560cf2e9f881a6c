#!/usr/bin/env python3
"""Takes headers out of a package of the Python index, without the libraries beside them, which are a thousand times as large.

    Scripts/fetch-wheel-headers.py PACKAGE FOLDER NAME...    as nccl.h, by their paths in its include folder; crt/ for all of a folder

The last bytes of the package say where its files are; only what is asked for is read. Ends with 3 where the index cannot be
reached or gives no parts of files.
"""
import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile


class RemoteFile(io.RawIOBase):
    """A file on a server that gives parts of it."""

    # What is read at least: zip files are read in many small pieces.
    piece = 1 << 19

    def __init__(self, address):
        self.address, self.place, self.pieces = address, 0, {}
        answer = self.ask("bytes=0-0")
        if answer.status != 206:
            raise OSError(f"{address} is given as a whole or not at all (status {answer.status})")
        self.size = int(answer.headers["Content-Range"].rsplit("/", 1)[1])

    def ask(self, part):
        return urllib.request.urlopen(urllib.request.Request(self.address, headers={"Range": part}), timeout=60)

    def seekable(self):
        return True

    def readable(self):
        return True

    def seek(self, place, whence=io.SEEK_SET):
        self.place = place + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        return self.place

    def tell(self):
        return self.place

    def readinto(self, buffer):
        index, offset = divmod(self.place, self.piece)
        if self.place >= self.size:
            return 0
        if index not in self.pieces:
            first = index * self.piece
            self.pieces[index] = self.ask(f"bytes={first}-{min(self.size, first + self.piece) - 1}").read()
        part = self.pieces[index][offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self.place += len(part)
        return len(part)


def address_of(package):
    """Where pip would take the package from; it is asked, as it knows which index to use, and does not download."""
    report = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps",
         "--only-binary", ":all:", "--report", "-", package],
        check=True, capture_output=True, text=True).stdout
    return json.loads(report)["install"][0]["download_info"]["url"]


def main():
    package, folder, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    try:
        wheel = zipfile.ZipFile(io.BufferedReader(RemoteFile(address_of(package))))
        missing = set(names)
        for path in wheel.namelist():
            name = path.rpartition("/include/")[2]
            wanted = {name, name.partition("/")[0] + "/"}.intersection(names)
            if not wanted or path.endswith("/"):
                continue
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(wheel.read(path))
            missing -= wanted
    except (OSError, subprocess.CalledProcessError, urllib.error.URLError) as error:
        print(f"headers of {package} could not be had: {error}", file=sys.stderr)
        return 3
    if missing:
        print(f"{package} has no {' '.join(sorted(missing))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
