#!/usr/bin/python3
"""An NFSv3 client with RPCSEC_GSS (RFC 2203) on MIT Kerberos, which takes JSON commands, one a line, and answers each with one line.

connect host port service      a context for nfs@service; the ticket comes from KRB5CCNAME
mnt host port path             MOUNT's MNT with AUTH_SYS: the file handle and the flavors
call proc data level [fault]   one NFS procedure, its arguments in hex, with level 1 krb5, 2 krb5i, 3 krb5p; the results in hex
                               fault: "header" spoils the verifier, "args" the arguments, "replay" sends the same call twice
destroy                        ends the context
"""
import json
import socket
import struct
import sys

import gssapi
import gssapi.raw as raw

GSS, NFS, MOUNT = 6, 100003, 100005


def word(*v):
    return struct.pack(">%dI" % len(v), *v)


def opaque(b):
    return word(len(b)) + b + b"\0" * (-len(b) % 4)


class Reader:
    def __init__(self, b):
        self.b = b

    def word(self):
        v, self.b = struct.unpack(">I", self.b[:4])[0], self.b[4:]
        return v

    def opaque(self):
        n = self.word()
        v, self.b = self.b[:n], self.b[n + (-n % 4):]
        if len(v) != n:
            raise EOFError("short opaque")
        return v


class Peer:
    def __init__(self):
        self.xid = 0x1000
        self.sock = self.ctx = None
        self.seq = 0

    def exchange(self, record, sock=None, timeout=20):
        sock = sock or self.sock
        sock.settimeout(timeout)
        sock.sendall(word(0x80000000 | len(record)) + record)
        return self.receive(sock)

    def receive(self, sock):
        got = b""
        while len(got) < 4:
            more = sock.recv(4 - len(got))
            if not more:
                raise EOFError("connection closed")
            got += more
        n = struct.unpack(">I", got)[0] & 0x7FFFFFFF
        got = b""
        while len(got) < n:
            more = sock.recv(n - len(got))
            if not more:
                raise EOFError("connection closed")
            got += more
        return got

    def reply(self, b):
        """The verifier and what follows it, or an answer that says why there is none."""
        r = Reader(b)
        r.word(), r.word()
        if r.word() == 1:  # MSG_DENIED
            kind, stat = r.word(), r.word()
            return None, {"denied": stat if kind == 1 else -1}
        flavor, verf = r.word(), r.opaque()
        stat = r.word()
        if stat:
            return None, {"accept": stat}
        return (flavor, verf, r), None

    def connect(self, a):
        self.sock = socket.create_connection((a["host"], a["port"]))
        name = gssapi.Name("nfs@" + a["service"], gssapi.NameType.hostbased_service)
        flags = [gssapi.RequirementFlag.mutual_authentication, gssapi.RequirementFlag.integrity, gssapi.RequirementFlag.confidentiality]
        ctx = gssapi.SecurityContext(name=name, usage="initiate", flags=flags, mech=gssapi.MechType.kerberos)
        token = ctx.step()
        self.xid += 1
        cred = word(1, 1, 0, 1) + opaque(b"")
        b = word(self.xid, 0, 2, NFS, 3, 0, GSS) + opaque(cred) + word(0, 0) + opaque(token)
        got, refused = self.reply(self.exchange(b))
        if refused:
            return refused
        flavor, verf, r = got
        self.handle, major, minor, window, token = r.opaque(), r.word(), r.word(), r.word(), r.opaque()
        if major:
            return {"major": major}
        ctx.step(token)
        if not ctx.complete or flavor != GSS:
            return {"error": "not complete"}
        ctx.verify_signature(word(window), verf)
        self.ctx, self.seq = ctx, 0
        return {"window": window, "handle": self.handle.hex()}

    def mnt(self, a):
        with socket.create_connection((a["host"], a["port"])) as s:
            self.xid += 1
            sys_cred = word(0) + opaque(b"check") + word(0, 0, 0)
            b = word(self.xid, 0, 2, MOUNT, 3, 1, 1) + opaque(sys_cred) + word(0, 0) + opaque(a["path"].encode())
            got, refused = self.reply(self.exchange(b, s))
            if refused:
                return refused
            r = got[2]
            status = r.word()
            if status:
                return {"status": str(status)}
            fh = r.opaque()
            return {"data": fh.hex(), "flavors": [r.word() for _ in range(r.word())]}

    def mic(self, b):
        return self.ctx.get_signature(b)

    def call(self, a, proc=0):
        level, args, fault = a.get("level", 1), bytes.fromhex(a.get("data", "")), a.get("fault", "")
        self.xid += 1
        self.seq += 1
        head = word(self.xid, 0, 2, NFS, 3, a.get("proc", 0), GSS) + opaque(word(1, proc, self.seq, level) + opaque(self.handle))
        verf = self.mic(head)
        body = word(self.seq) + args
        if fault == "header":
            verf = verf[:-1] + bytes([verf[-1] ^ 1])
        if proc == 3 or level == 1:
            wrapped = args
        elif level == 2:
            proof = self.mic(body)
            if fault == "args":
                body = body[:-1] + bytes([body[-1] ^ 1])
            wrapped = opaque(body) + opaque(proof)
        else:
            sealed = raw.wrap(self.ctx, body, True, 0).message
            if fault == "args":
                sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
            wrapped = opaque(sealed)
        record = head + word(GSS) + opaque(verf) + wrapped
        got, refused = self.reply(self.exchange(record))
        if fault == "replay":
            try:
                self.exchange(record, timeout=1)
                return {"error": "the replay was answered"}
            except (TimeoutError, socket.timeout):
                pass
        if refused:
            return refused
        flavor, verf, r = got
        self.ctx.verify_signature(word(self.seq), verf)
        if proc == 3 or level == 1:
            return {"data": r.b.hex()}
        body = r.opaque()
        if level == 2:
            self.ctx.verify_signature(body, r.opaque())
        else:
            un = raw.unwrap(self.ctx, body)
            if not un.encrypted:
                return {"error": "the results are not sealed"}
            body = un.message
        if body[:4] != word(self.seq):
            return {"error": "the results are of another call"}
        return {"data": body[4:].hex()}

    def destroy(self, a):
        return self.call(a, 3)


peer = Peer()
for line in sys.stdin:
    a = json.loads(line)
    try:
        r = getattr(peer, a["do"])(a)
    except Exception as e:  # the test wants to know
        r = {"error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps({"status": "0", **r}), flush=True)
