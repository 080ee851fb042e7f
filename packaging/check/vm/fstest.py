"""fstest.py basic|general|special|lock DIR: what a program may expect of a file system, tried on DIR. Prints each step that fails; exit 1 then.

basic    create, remove, lookups, attributes, data, directories, links, renames, symbolic links, statfs
general  many small files, a tree copied, packed, unpacked and compared, a sort and a database on it
special  what network file systems stumble over: open files without a name, holes, large offsets, names, exclusive creation, cookies
lock     fcntl's ranges, from two processes
data     thousands of random writes, truncations, holes and mappings, each byte compared with what it must be
"""
import errno
import fcntl
import hashlib
import mmap
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
import traceback

steps = {"basic": [], "general": [], "special": [], "lock": [], "data": []}


def step(suite):
    def add(f):
        steps[suite].append(f)
        return f
    return add


def fails(want, f, *a, **k):
    try:
        f(*a, **k)
    except OSError as e:
        assert e.errno == want, "%s, want %s" % (errno.errorcode.get(e.errno, e.errno), errno.errorcode[want])
    else:
        raise AssertionError("succeeded, want " + errno.errorcode[want])


def put(path, data=b"", mode=0o666):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)


def get(path):
    with open(path, "rb") as f:
        return f.read()


# basic

@step("basic")
def tree_of_files_comes_and_goes(d):
    def grow(at, level):
        for i in range(5):
            put(os.path.join(at, "file-%d" % i))
        if level:
            for i in range(2):
                os.mkdir(os.path.join(at, "dir-%d" % i))
                grow(os.path.join(at, "dir-%d" % i), level - 1)
    grow(d, 4)
    assert sum(len(f) for _, _, f in os.walk(d)) == 5 * 31
    for at, dirs, files in os.walk(d, topdown=False):
        for f in files:
            os.unlink(os.path.join(at, f))
        for s in dirs:
            os.rmdir(os.path.join(at, s))
    assert os.listdir(d) == []


@step("basic")
def lookups_across_directories(d):
    os.mkdir(d + "/a")
    for _ in range(100):
        os.chdir(d + "/a")
        assert os.getcwd() == d + "/a"
        os.chdir("..")
        assert os.path.samefile(".", d)
        os.stat("a/../a/.")
    os.chdir("/")
    fails(errno.ENOENT, os.stat, d + "/none")
    put(d + "/f")
    fails(errno.ENOTDIR, os.stat, d + "/f/x")


@step("basic")
def attributes(d):
    f = d + "/f"
    put(f, b"x" * 100)
    for mode in (0o600, 0o444, 0o755, 0o6755, 0o1777, 0o666):
        os.chmod(f, mode)
        assert stat.S_IMODE(os.stat(f).st_mode) == mode, oct(os.stat(f).st_mode)
    os.chown(f, 12, 34)
    s = os.stat(f)
    assert (s.st_uid, s.st_gid, s.st_size, s.st_nlink) == (12, 34, 100, 1)
    os.utime(f, ns=(123456789123456789, 1000000001))
    s = os.stat(f)
    assert (s.st_atime_ns, s.st_mtime_ns) == (123456789123456789, 1000000001), (s.st_atime_ns, s.st_mtime_ns)
    before = os.stat(f).st_ctime_ns
    os.chmod(f, 0o600)
    assert os.stat(f).st_ctime_ns >= before


@step("basic")
def data_in_pieces(d):
    f, data = d + "/f", random.Random(1).randbytes(1 << 20)
    fd = os.open(f, os.O_CREAT | os.O_RDWR)
    order = list(range(0, len(data), 8192))
    random.Random(2).shuffle(order)
    for at in order:
        assert os.pwrite(fd, data[at:at + 8192], at) == 8192
    os.fsync(fd)
    for at in order:
        assert os.pread(fd, 8192, at) == data[at:at + 8192]
    assert os.pread(fd, 100, len(data)) == b""
    os.ftruncate(fd, 5000)
    os.ftruncate(fd, 9000)
    assert os.pread(fd, 10000, 0) == data[:5000] + bytes(4000)
    os.close(fd)
    fd = os.open(f, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"end")
    os.close(fd)
    assert get(f)[-3:] == b"end" and os.stat(f).st_size == 9003


@step("basic")
def directory_of_a_thousand(d):
    names = {"name-%04d-%s" % (i, "x" * (i % 200)) for i in range(1000)}
    for n in names:
        put(d + "/" + n)
    assert set(os.listdir(d)) == names
    for n in list(names)[::2]:
        os.unlink(d + "/" + n)
        names.remove(n)
    assert set(os.listdir(d)) == names
    assert {e.name: e.inode() for e in os.scandir(d)} == {n: os.stat(d + "/" + n).st_ino for n in names}


@step("basic")
def links_and_renames(d):
    put(d + "/a", b"1")
    os.link(d + "/a", d + "/b")
    assert os.stat(d + "/a").st_nlink == 2 and os.path.samefile(d + "/a", d + "/b")
    fails(errno.EEXIST, os.link, d + "/a", d + "/b")
    os.rename(d + "/a", d + "/b")  # two names of one file: nothing happens
    assert sorted(os.listdir(d)) == ["a", "b"]
    os.unlink(d + "/a")
    assert os.stat(d + "/b").st_nlink == 1
    os.mkdir(d + "/sub")
    os.rename(d + "/b", d + "/sub/c")
    put(d + "/x", b"2")
    os.rename(d + "/x", d + "/sub/c")
    assert get(d + "/sub/c") == b"2" and os.listdir(d) == ["sub"]
    fails(errno.ENOTEMPTY, os.rmdir, d + "/sub")
    os.mkdir(d + "/other")
    fails(errno.ENOTEMPTY, os.rename, d + "/other", d + "/sub")
    os.rename(d + "/sub", d + "/moved")
    assert os.listdir(d + "/moved") == ["c"]
    fails(errno.EINVAL, os.rename, d + "/moved", d + "/moved/in")
    fails(errno.EISDIR, os.rename, d + "/moved/c", d + "/other")
    fails(errno.EPERM, os.link, d + "/other", d + "/hard")


@step("basic")
def symbolic_links(d):
    for target in ("nowhere", "/absolute/target", "x" * 1000, "ünïcode"):
        os.symlink(target, d + "/s")
        assert os.readlink(d + "/s") == target
        assert stat.S_ISLNK(os.lstat(d + "/s").st_mode)
        fails(errno.ENOENT if len(target) < 256 else errno.ENAMETOOLONG, os.stat, d + "/s")
        os.unlink(d + "/s")
    os.symlink("s", d + "/s")
    fails(errno.ELOOP, os.stat, d + "/s")


@step("basic")
def space(d):
    s = os.statvfs(d)
    assert s.f_blocks >= s.f_bfree >= s.f_bavail > 0 and s.f_files > 0 and s.f_namemax == 255


# general

@step("general")
def tree_copied_and_packed(d):
    def digest(at):
        h = hashlib.sha256()
        for base, dirs, files in os.walk(at):
            dirs.sort()
            for f in sorted(files):
                p = os.path.join(base, f)
                h.update(os.path.relpath(p, at).encode() + (os.readlink(p).encode() if os.path.islink(p) else get(p)))
        return h.hexdigest()
    r = random.Random(3)
    os.mkdir(d + "/src")
    for i in range(10):
        os.mkdir(d + "/src/%d" % i)
        for j in range(20):
            put(d + "/src/%d/%d" % (i, j), r.randbytes(r.choice((0, 1, 100, 5000, 70000))))
        if os.environ.get("SYMLINKS") != "no":
            os.symlink("../%d" % ((i + 1) % 10), d + "/src/%d/next" % i)
    want = digest(d + "/src")
    shutil.copytree(d + "/src", d + "/copy", symlinks=True)
    assert digest(d + "/copy") == want
    with tarfile.open(d + "/t.tar.gz", "w:gz") as t:
        t.add(d + "/src", "src")
    with tarfile.open(d + "/t.tar.gz") as t:
        t.extractall(d + "/out")
    assert digest(d + "/out/src") == want
    subprocess.check_call(["diff", "-r", "--no-dereference", d + "/src", d + "/out/src"])
    shutil.rmtree(d + "/src")
    assert digest(d + "/copy") == want


@step("general")
def database(d):
    db = sqlite3.connect(d + "/db", isolation_level=None)
    db.execute("create table t (k integer primary key, v text)")
    for i in range(30):
        db.execute("insert into t values (?, ?)", (i, "v" * i))
    other = sqlite3.connect(d + "/db", timeout=0.1, isolation_level=None)
    db.execute("begin exclusive")
    try:
        other.execute("insert into t values (1000, '')")
        raise AssertionError("two exclusive transactions")
    except sqlite3.OperationalError as e:
        assert "locked" in str(e)
    db.execute("rollback")
    assert other.execute("select count(*), sum(length(v)) from t").fetchone() == (30, 435)
    assert other.execute("pragma integrity_check").fetchone() == ("ok",)


@step("general")
def sort_through_files(d):
    r = random.Random(4)
    put(d + "/in", b"".join(b"%09d\n" % r.randrange(10**9) for _ in range(20000)))
    subprocess.check_call(["sort", "-S", "100k", "-T", d, "-o", d + "/out", d + "/in"])
    assert get(d + "/out") == b"".join(sorted(get(d + "/in").splitlines(True)))


# special

@step("special")
def open_file_without_a_name(d):
    f = d + "/f"
    fd = os.open(f, os.O_CREAT | os.O_RDWR)
    os.write(fd, b"before")
    os.unlink(f)
    fails(errno.ENOENT, os.stat, f)
    os.write(fd, b" and after")
    assert os.pread(fd, 100, 0) == b"before and after"
    put(f, b"new")
    assert os.pread(fd, 100, 0) == b"before and after" and get(f) == b"new"
    os.close(fd)
    os.unlink(f)
    assert os.listdir(d) == [], os.listdir(d)


@step("special")
def open_file_over_which_is_renamed(d):
    put(d + "/old", b"old")
    put(d + "/new", b"new")
    fd = os.open(d + "/old", os.O_RDONLY)
    os.rename(d + "/new", d + "/old")
    assert os.read(fd, 10) == b"old" and get(d + "/old") == b"new"
    os.close(fd)


@step("special")
def open_file_whose_mode_goes(d):
    fd = os.open(d + "/f", os.O_CREAT | os.O_RDWR)
    os.fchmod(fd, 0)
    assert os.write(fd, b"still") == 5
    assert os.pread(fd, 10, 0) == b"still"
    os.close(fd)


@step("special")
def mode_without_writing_at_creation(d):
    fd = os.open(d + "/f", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o444)
    assert os.write(fd, b"x") == 1
    os.close(fd)
    assert stat.S_IMODE(os.stat(d + "/f").st_mode) == 0o444


@step("special")
def exclusive_creation(d):
    os.close(os.open(d + "/f", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))
    assert stat.S_IMODE(os.stat(d + "/f").st_mode) == 0o640
    fails(errno.EEXIST, os.open, d + "/f", os.O_CREAT | os.O_EXCL | os.O_RDWR)
    s = os.stat(d + "/f")
    import time
    assert abs(time.time() - s.st_mtime) < 3600, "the verifier stayed in the times"


@step("special")
def large_offsets_and_holes(d):
    fd = os.open(d + "/f", os.O_CREAT | os.O_RDWR)
    for at in ((1 << 31) - 3, (1 << 32) - 3, 1 << 40):
        assert os.pwrite(fd, b"across", at) == 6
        assert os.pread(fd, 10, at - 2) == b"\0\0across"[:10]
        assert os.fstat(fd).st_size == at + 6
    assert os.fstat(fd).st_blocks * 512 < 1 << 20
    fails(errno.EINVAL, os.pwrite, fd, b"x", (1 << 63) - 1)
    os.ftruncate(fd, 0)
    os.close(fd)


@step("special")
def names(d):
    for n in ("x" * 255, "ü" * 127, " ", "a b", "-", "con", "a:b", 'q"*?<>|', "back\\slash", ".hidden", "end.", "new\nline", "é", "e\u0301"):
        put(d + "/" + n, n.encode())
        assert n in os.listdir(d)
        assert get(d + "/" + n) == n.encode()
    os.stat(os.fsencode(d))
    raw = os.fsencode(d) + b"/\xff\xfe\x80"
    put(raw, b"raw")
    assert b"\xff\xfe\x80" in os.listdir(os.fsencode(d))
    fails(errno.ENAMETOOLONG, put, d + "/" + "x" * 256)


@step("special")
def special_files(d):
    os.mkfifo(d + "/fifo", 0o600)
    os.mknod(d + "/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert stat.S_ISFIFO(os.stat(d + "/fifo").st_mode)
    s = os.stat(d + "/null")
    assert stat.S_ISCHR(s.st_mode) and (os.major(s.st_rdev), os.minor(s.st_rdev)) == (1, 3)


@step("special")
def list_while_names_go(d):
    for i in range(2000):
        put(d + "/%04d" % i)
    seen = set()
    for n, e in enumerate(os.scandir(d)):
        assert e.name not in seen, e.name + " twice"
        seen.add(e.name)
        os.unlink(d + "/" + e.name)
    assert len(seen) == 2000 and os.listdir(d) == [], (len(seen), len(os.listdir(d)))


@step("special")
def sticky_and_setgid_directories(d):
    os.chown(d, 0, 44)
    os.chmod(d, 0o3777)
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(1000)
        os.setuid(1000)
        put(d + "/mine")
        os.mkdir(d + "/sub")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.stat(d + "/mine").st_gid == 44 and os.stat(d + "/sub").st_mode & stat.S_ISGID
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(1001)
        os.setuid(1001)
        try:
            os.unlink(d + "/mine")
        except OSError as e:
            os._exit(0 if e.errno in (errno.EPERM, errno.EACCES) else 2)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0, "another user's file in a sticky directory"


@step("special")
def supplementary_groups(d):
    put(d + "/f", b"for group 2020", 0o640)
    os.chown(d + "/f", 0, 2020)
    pid = os.fork()
    if pid == 0:
        os.setgroups(list(range(2010, 2022)))
        os.setgid(1000)
        os.setuid(1000)
        os._exit(0 if get(d + "/f") == b"for group 2020" else 1)
    assert os.waitpid(pid, 0)[1] == 0


# lock

class Other:
    """Another process, with locks of its own on the same file."""

    def __init__(self, path):
        self.p = subprocess.Popen([sys.executable, __file__, "other", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, how, start, length):
        self.begin(how, start, length)
        return self.end()

    def begin(self, how, start, length):
        self.p.stdin.write("%s %d %d\n" % (how, start, length))
        self.p.stdin.flush()

    def end(self):
        return self.p.stdout.readline().strip()

    def done(self):
        self.p.stdin.close()
        self.p.wait()


def ask(fd, how, start, length):
    """How: r and w try, R and W wait, u unlocks, t tests for writing."""
    flag = {"r": fcntl.LOCK_SH | fcntl.LOCK_NB, "w": fcntl.LOCK_EX | fcntl.LOCK_NB, "R": fcntl.LOCK_SH, "W": fcntl.LOCK_EX, "u": fcntl.LOCK_UN}
    if how == "t":
        import struct
        b = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, start, length, 0))
        kind, _, at, n, _ = struct.unpack("hhqqi4x", b)
        return "free" if kind == fcntl.F_UNLCK else "%s %d %d" % ("w" if kind == fcntl.F_WRLCK else "r", at, n)
    try:
        fcntl.lockf(fd, flag[how], length, start)
        return "ok"
    except OSError as e:
        return {errno.EAGAIN: "no", errno.EACCES: "no", errno.EDEADLK: "deadlock"}.get(e.errno, e.strerror)


def other(path):
    fd = os.open(path, os.O_RDWR)
    for line in sys.stdin:
        how, start, length = line.split()
        print(ask(fd, how, int(start), int(length)), flush=True)


def lock_step(f):
    def run(d):
        put(d + "/f", bytes(100))
        fd = os.open(d + "/f", os.O_RDWR)
        o = Other(d + "/f")
        try:
            f(lambda how, start, length: ask(fd, how, start, length), o)
        finally:
            os.close(fd)  # before the other: it may still wait for a lock of ours
            o.done()
    run.__name__ = f.__name__
    steps["lock"].append(run)


def all_of(who, *lines):
    for how, start, length, want in lines:
        got = who(how, start, length)
        assert got == want, "%s %d %d: %s, want %s" % (how, start, length, got, want)


@lock_step
def readers_share_writers_do_not(me, you):
    all_of(me, ("r", 0, 10, "ok"))
    all_of(you, ("r", 5, 10, "ok"), ("w", 5, 1, "no"), ("w", 10, 5, "ok"), ("w", 10, 1, "ok"))
    all_of(me, ("r", 9, 2, "no"), ("t", 10, 1, "w 10 5"), ("t", 0, 1, "free"), ("t", 5, 1, "r 5 5"))


@lock_step
def ranges_split_and_merge(me, you):
    all_of(me, ("w", 0, 100, "ok"), ("u", 40, 20, "ok"))
    all_of(you, ("w", 39, 1, "no"), ("w", 40, 20, "ok"), ("w", 60, 1, "no"), ("u", 40, 20, "ok"))
    all_of(me, ("r", 20, 60, "ok"))
    all_of(you, ("r", 20, 60, "ok"), ("w", 19, 1, "no"), ("t", 0, 1, "w 0 20"), ("t", 85, 1, "w 80 20"), ("t", 30, 1, "r 20 60"))


@lock_step
def to_the_end_of_the_file(me, you):
    all_of(me, ("w", 1000, 0, "ok"))
    all_of(you, ("w", 0, 1000, "ok"), ("w", 1 << 40, 1, "no"), ("r", (1 << 62), 0, "no"), ("t", 5000, 1, "w 1000 0"))
    all_of(me, ("u", 2000, 0, "ok"))
    all_of(you, ("w", 2000, 0, "ok"), ("w", 1999, 1, "no"))


@lock_step
def upgrade_and_downgrade(me, you):
    all_of(me, ("r", 0, 10, "ok"))
    all_of(you, ("r", 0, 10, "ok"))
    all_of(me, ("w", 0, 10, "no"))
    all_of(you, ("w", 0, 10, "no"), ("u", 0, 10, "ok"))
    all_of(me, ("w", 0, 10, "ok"), ("r", 0, 5, "ok"))
    all_of(you, ("r", 0, 5, "ok"), ("r", 5, 1, "no"))


@lock_step
def closing_any_descriptor_lets_go(me, you):
    all_of(you, ("w", 0, 1, "ok"))
    you.done()
    all_of(me, ("w", 0, 1, "ok"))


@lock_step
def who_waits_gets_it(me, you):
    all_of(me, ("w", 0, 10, "ok"))
    you.begin("W", 5, 10)
    import time
    time.sleep(0.5)
    all_of(me, ("u", 0, 10, "ok"))
    assert you.end() == "ok"
    all_of(me, ("w", 5, 1, "no"), ("w", 0, 5, "ok"))


@lock_step
def cycle_is_found(me, you):
    all_of(me, ("w", 0, 1, "ok"))
    all_of(you, ("w", 1, 1, "ok"))
    you.begin("W", 0, 1)
    import time
    time.sleep(0.5)
    got = me("W", 1, 1)
    assert got == "deadlock", got
    all_of(me, ("u", 0, 1, "ok"))
    assert you.end() == "ok"


# data

@step("data")
def random_operations(d):
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    r, path, want = random.Random(seed), d + "/f", bytearray()
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    for n in range(int(os.environ.get("OPERATIONS", 1500))):
        what = r.choice(("write", "write", "append", "read", "read", "truncate", "map", "reopen", "sync", "rename"))
        at, size = r.randrange(0, 300000), r.choice((1, 7, 512, 4096, 5000, 70000))
        if what in ("write", "append"):
            at, data = len(want) if what == "append" else at, r.randbytes(size)
            if at + size > 400000:
                continue
            assert os.pwrite(fd, data, at) == size
            want.extend(bytes(max(0, at + size - len(want))))
            want[at:at + size] = data
        elif what == "truncate":
            os.ftruncate(fd, at)
            want = want[:at] + bytes(max(0, at - len(want)))
        elif what == "map" and want:
            with mmap.mmap(fd, len(want)) as m:
                at = r.randrange(len(want))
                assert m[at:at + size] == want[at:at + size], "seed %d, step %d: mapped bytes" % (seed, n)
                data = r.randbytes(min(size, len(want) - at))
                m[at:at + len(data)] = data
                want[at:at + len(data)] = data
                m.flush()
        elif what == "reopen":
            os.close(fd)
            assert os.stat(path).st_size == len(want), "seed %d, step %d: size" % (seed, n)
            fd = os.open(path, os.O_RDWR)
        elif what == "sync":
            os.fsync(fd)
        elif what == "rename":
            os.rename(path, path + "x")
            path += "x"
            if len(path) > len(d) + 40:
                os.rename(path, d + "/f")
                path = d + "/f"
        got = os.pread(fd, size, at)
        assert got == want[at:at + size], "seed %d, step %d (%s): bytes at %d" % (seed, n, what, at)
    os.close(fd)
    assert get(path) == want, "seed %d: at the end" % seed


def main():
    suite, top = sys.argv[1], sys.argv[2]
    if suite == "other":
        return other(top)
    os.umask(0)
    bad = 0
    for f in steps[suite]:
        d = os.path.join(os.path.realpath(top), "t-" + f.__name__)
        shutil.rmtree(d, ignore_errors=True)
        os.mkdir(d)
        try:
            f(d)
        except Exception:
            bad += 1
            print("FAILED: %s %s\n%s" % (suite, f.__name__, traceback.format_exc(limit=-3)))
        os.chdir("/")
        shutil.rmtree(d, ignore_errors=True)
    print("%s: %d of %d steps good" % (suite, len(steps[suite]) - bad, len(steps[suite])))
    sys.exit(bad != 0)


main()
