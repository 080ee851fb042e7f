"""holder.py FILE: opens, write-locks the first ten bytes, reads all of it, and then does with this open what /tmp/ask says, a line at a time, and
answers in /tmp/answer: "read OFFSET LENGTH", "write OFFSET TEXT". An error's name is an answer."""
import errno
import fcntl
import os
import sys

for pipe in "/tmp/ask", "/tmp/answer":
    if not os.path.exists(pipe):
        os.mkfifo(pipe)
f = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
os.pread(f, 1 << 20, 0)
print("holding", flush=True)
while True:
    with open("/tmp/ask") as ask:
        what, offset, arg = ask.readline().split()
    try:
        if what == "read":
            said = os.pread(f, int(arg), int(offset)).decode()
        else:
            os.pwrite(f, arg.encode(), int(offset))
            os.fsync(f)
            said = "written"
    except OSError as e:
        said = errno.errorcode[e.errno]
    with open("/tmp/answer", "w") as answer:
        answer.write(said)
