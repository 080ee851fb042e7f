"""A local program for tests: one JSON command a line on standard input, one JSON answer a line on standard output.

Commands: open name flags | close fd | lock fd kind start length [wait] | unlock fd start length | test fd start length |
read fd offset length | write fd offset data | flock fd | map fd length | poke offset data: into the last map, and msync. A refusal is {"errno": NAME}.
"""
import errno
import fcntl
import json
import mmap
import os
import struct
import sys


def flock(fd, cmd, kind, start, length):
    # struct flock of a 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid
    r = fcntl.fcntl(fd, cmd, struct.pack("hhqqi4x", kind, 0, start, length, 0))
    return struct.unpack("hhqqi4x", r)


KINDS = {"read": fcntl.F_RDLCK, "write": fcntl.F_WRLCK}


def open_(name, flags):
    return {"fd": os.open(name, getattr(os, flags) if isinstance(flags, str) else flags, 0o666)}


def close(fd):
    os.close(fd)
    return {}


def lock(fd, kind, start, length, wait=False):
    flock(fd, fcntl.F_SETLKW if wait else fcntl.F_SETLK, KINDS[kind], start, length)
    return {}


def unlock(fd, start, length):
    flock(fd, fcntl.F_SETLK, fcntl.F_UNLCK, start, length)
    return {}


def test(fd, start, length):
    t = flock(fd, fcntl.F_GETLK, fcntl.F_WRLCK, start, length)
    return {"free": t[0] == fcntl.F_UNLCK, "start": t[2], "length": t[3]}


def read(fd, offset, length):
    return {"data": os.pread(fd, length, offset).decode("latin-1")}


def write(fd, offset, data):
    return {"wrote": os.pwrite(fd, data.encode("latin-1"), offset)}


def flock_(fd):
    fcntl.flock(fd, fcntl.LOCK_EX)
    return {}


maps = []


def map_(fd, length):
    maps.append(mmap.mmap(fd, length))
    return {"data": maps[-1][:length].decode("latin-1")}


def poke(offset, data):
    maps[-1][offset:offset + len(data)] = data.encode("latin-1")
    maps[-1].flush()
    return {}


for line in sys.stdin:
    c = json.loads(line)
    do = c.pop("do")
    try:
        a = globals()[do + "_" if do in ("open", "flock", "map") else do](**c)
    except OSError as e:
        a = {"errno": errno.errorcode[e.errno]}
    print(json.dumps(a), flush=True)
