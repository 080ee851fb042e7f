"""lockpeer.py FILE now|wait START LENGTH [SECONDS]: write-locks, says "locked" or the errno's name, then holds for SECONDS."""
import errno
import fcntl
import sys
import time

f = open(sys.argv[1], "r+")
how, start, length = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
try:
    fcntl.lockf(f, fcntl.LOCK_EX | (0 if how == "wait" else fcntl.LOCK_NB), length, start)
    print("locked", flush=True)
    time.sleep(float(sys.argv[5]) if len(sys.argv) > 5 else 0)
except OSError as e:
    print(errno.errorcode[e.errno], flush=True)
