"""An SMB client for tests, on python3-impacket: one JSON command a line on standard input, one JSON answer a line on standard output.

Commands: login host port user password share [dialect] [guid] | open name access share disposition [options] [lease key state]
[durable] [reconnect fid] |
close fid | read fid offset length | write fid offset data | lock fid offset length flags [wait] | reply id | breaks timeout |
ack key state | cancel id | control fid code input room | query fid class [input] | set fid class input |
aapl query. Bytes of the last four are hexadecimal. A status is the NTSTATUS as hexadecimal text.
"""
import json
import select
import struct
import sys

from impacket import smb3
from impacket.smb3structs import *
from impacket.nmb import NetBIOSTimeout

PENDING = 0x00000103


class Client(smb3.SMB3):
    """Its ClientGuid is the same from one connection to the next."""
    guid = None

    @property
    def ClientGuid(self):
        return self.guid or self.drawn

    @ClientGuid.setter
    def ClientGuid(self, drawn):
        self.drawn = drawn


def context(name, body, last):
    data = struct.pack("<HHHHI", 16, 4, 0, 24, len(body)) + name + b"\0" * 4 + body
    data += b"\0" * (-(4 + len(data)) % 8) if not last else b""
    return struct.pack("<I", 0 if last else 4 + len(data)) + data


def contexts(data):
    while data:
        following, at, n, _, off, length = struct.unpack_from("<IHHHHI", data)
        yield data[at:at + n], data[off:off + length]
        data = data[following:] if following else b""


class Peer:
    def login(self, host, port, user, password, share, dialect=0x0210, guid=None):
        Client.guid = guid
        self.c = Client(host, host, sess_port=port, timeout=30, preferredDialect=dialect)
        self.c.login(user, password)
        self.tree = self.c.connectTree("\\\\%s\\%s" % (host, share))
        self.answers, self.pending, self.broken = {}, set(), []
        return {"dialect": self.c.getDialect()}

    # Sends one command and returns its message id; pump() collects what comes back.
    def send(self, command, data):
        p = self.c.SMB_PACKET()
        p["Command"], p["TreeID"], p["Data"] = command, self.tree, data
        return self.c.sendSMB(p)

    def pump(self, timeout):
        sock = self.c._NetBIOSSession.get_socket()
        if not select.select([sock], [], [], timeout)[0]:
            return False
        p = SMB2Packet(self.c._NetBIOSSession.recv_packet(30).get_trailer())
        if p["MessageID"] == 0xFFFFFFFFFFFFFFFF:
            n = SMB2LeaseBreakNotification(p["Data"])
            self.broken.append({"key": n["LeaseKey"].hex(), "from": n["CurrentLeaseState"], "to": n["NewLeaseState"],
                                "ack": bool(n["Flags"] & 1), "epoch": n["NewEpoch"]})
        elif p["Status"] == PENDING:
            self.pending.add(p["MessageID"])
        else:
            self.answers[p["MessageID"]] = p
        return True

    def wait(self, mid, timeout=30):
        while mid not in self.answers:
            if not self.pump(timeout):
                return None
        return self.answers.pop(mid)

    def status(self, p):
        return {"status": "%08x" % (p["Status"] & 0xFFFFFFFF)}

    def open(self, name, access, share, disposition, options=0, key=None, state=0, durable=False, reconnect=None, wait=True):
        raw = name.replace("/", "\\").encode("utf-16le")
        r = SMB2Create()
        r["ImpersonationLevel"], r["DesiredAccess"], r["ShareAccess"] = 2, access, share
        r["CreateDisposition"], r["CreateOptions"], r["FileAttributes"] = disposition, options, 0x80
        r["NameLength"], r["SecurityFlags"], r["RequestedOplockLevel"] = len(raw), 0, 0
        r["Buffer"] = raw or b"\0"
        r["CreateContextsOffset"] = r["CreateContextsLength"] = 0
        extra = []
        if key:
            extra.append((b"RqLs", bytes.fromhex(key) + struct.pack("<IIQ", state, 0, 0)))
            r["RequestedOplockLevel"] = 0xFF
        if durable:
            extra.append((b"DHnQ", b"\0" * 16))
        if reconnect:
            extra.append((b"DHnC", bytes.fromhex(reconnect)))
        if extra:
            raw = b"".join(context(n, b, x == len(extra) - 1) for x, (n, b) in enumerate(extra))
            r["Buffer"] += b"\0" * (-(64 + SMB2Create.SIZE + len(r["Buffer"])) % 8)
            r["CreateContextsOffset"] = 64 + SMB2Create.SIZE + len(r["Buffer"])
            r["CreateContextsLength"] = len(raw)
            r["Buffer"] += raw
        mid = self.send(SMB2_CREATE, r)
        return self.opened(self.wait(mid)) if wait else {"id": mid}

    def opened(self, p):
        a = self.status(p)
        if p["Status"] == 0:
            d = SMB2Create_Response(p["Data"])
            a["fid"] = d["FileID"].getData().hex()
            if d["CreateContextsLength"]:
                at = d["CreateContextsOffset"] - 64
                for name, body in contexts(p["Data"][at:at + d["CreateContextsLength"]]):
                    if name == b"RqLs":
                        a["lease"], = struct.unpack_from("<I", body, 16)
                    elif name == b"DHnQ":
                        a["durable"] = True
        return a

    def fid(self, text):
        return SMB2_FILEID(bytes.fromhex(text))

    def close(self, fid):
        r = SMB2Close()
        r["FileID"] = self.fid(fid)
        return self.status(self.wait(self.send(SMB2_CLOSE, r)))

    def read(self, fid, offset, length):
        r = SMB2Read()
        r["Padding"], r["Length"], r["Offset"], r["FileID"], r["MinimumCount"] = 0x50, length, offset, self.fid(fid), 0
        p = self.wait(self.send(SMB2_READ, r))
        a = self.status(p)
        if p["Status"] == 0:
            a["data"] = SMB2Read_Response(p["Data"])["Buffer"].decode("latin-1")
        return a

    def write(self, fid, offset, data):
        r = SMB2Write()
        r["FileID"], r["Length"], r["Offset"], r["WriteChannelInfoOffset"], r["Buffer"] = self.fid(fid), len(data), offset, 0, data.encode("latin-1")
        return self.status(self.wait(self.send(SMB2_WRITE, r)))

    def lock(self, fid, offset, length, flags, wait=True):
        r = SMB2Lock()
        r["FileID"], r["LockCount"] = self.fid(fid), 1
        e = SMB2_LOCK_ELEMENT()
        e["Offset"], e["Length"], e["Flags"] = offset, length, flags
        r["Locks"] = e.getData()
        mid = self.send(SMB2_LOCK, r)
        if wait:
            return self.status(self.wait(mid))
        # Waiting begins when the server says so.
        while mid not in self.pending and mid not in self.answers:
            if not self.pump(10):
                break
        return {"id": mid, "pending": mid in self.pending and mid not in self.answers}

    def reply(self, id, timeout=10):
        p = self.wait(id, timeout)
        if p is None:
            return {"status": "none"}
        return self.opened(p) if p["Command"] == SMB2_CREATE else self.status(p)

    def breaks(self, timeout):
        while not self.broken:
            if not self.pump(timeout):
                return {"breaks": []}
        out, self.broken = self.broken, []
        return {"breaks": out}

    def ack(self, key, state):
        r = SMB2LeaseBreakAcknowledgement()
        r["LeaseKey"], r["LeaseState"] = bytes.fromhex(key), state
        return self.status(self.wait(self.send(SMB2_OPLOCK_BREAK, r)))

    def aapl(self, query):
        body = bytes.fromhex(query)
        r = SMB2Create()
        r["ImpersonationLevel"], r["DesiredAccess"], r["ShareAccess"] = 2, 0x120089, 7
        r["CreateDisposition"], r["CreateOptions"], r["FileAttributes"] = 1, 0, 0
        r["NameLength"], r["SecurityFlags"], r["RequestedOplockLevel"], r["Buffer"] = 0, 0, 0, b"\0" * 8
        ctx = struct.pack("<IHHHHI", 0, 16, 4, 0, 24, len(body)) + b"AAPL" + b"\0" * 4 + body
        r["CreateContextsOffset"], r["CreateContextsLength"] = 64 + SMB2Create.SIZE + 8, len(ctx)
        r["Buffer"] += ctx
        p = self.wait(self.send(SMB2_CREATE, r))
        a = self.status(p)
        if p["Status"] == 0:
            d = SMB2Create_Response(p["Data"])
            self.close(d["FileID"].getData().hex())
            if d["CreateContextsLength"]:
                at = p["Data"][d["CreateContextsOffset"] - 64:]
                off, n = struct.unpack_from("<HI", at, 10)
                a["data"] = at[off:off + n].hex()
        return a

    def control(self, fid, code, input="", room=65536):
        r = SMB2Ioctl()
        r["FileID"], r["CtlCode"], r["MaxInputResponse"], r["MaxOutputResponse"] = self.fid(fid), code, 0, room
        r["InputCount"], r["OutputOffset"], r["OutputCount"], r["Flags"] = len(bytes.fromhex(input)), 0, 0, 1
        r["Buffer"] = bytes.fromhex(input) or b"\0"
        p = self.wait(self.send(SMB2_IOCTL, r))
        a = self.status(p)
        if p["Status"] == 0:
            at, n = struct.unpack_from("<II", p["Data"], 32)
            a["data"] = p["Data"][at - 64:at - 64 + n].hex()
        return a

    def query(self, fid, infoclass, input=""):
        r = SMB2QueryInfo()
        r["InfoType"], r["FileInfoClass"], r["OutputBufferLength"] = 1, infoclass, 65536
        r["InputBufferLength"], r["AdditionalInformation"], r["Flags"], r["FileID"] = len(bytes.fromhex(input)), 0, 0, self.fid(fid)
        r["InputBufferOffset"], r["Buffer"] = 104, bytes.fromhex(input) or b"\0"
        p = self.wait(self.send(SMB2_QUERY_INFO, r))
        a = self.status(p)
        if p["Status"] == 0:
            at, n = struct.unpack_from("<HI", p["Data"], 2)
            a["data"] = p["Data"][at - 64:at - 64 + n].hex()
        return a

    def set(self, fid, infoclass, input):
        r = SMB2SetInfo()
        r["InfoType"], r["FileInfoClass"], r["BufferLength"], r["AdditionalInformation"] = 1, infoclass, len(bytes.fromhex(input)), 0
        r["FileID"], r["Buffer"] = self.fid(fid), bytes.fromhex(input)
        return self.status(self.wait(self.send(SMB2_SET_INFO, r)))


peer = Peer()
for line in sys.stdin:
    c = json.loads(line)
    try:
        a = getattr(peer, c.pop("do"))(**c)
    except Exception as e:  # the test that asked decides
        status = e.get_error_code() if hasattr(e, "get_error_code") else None
        a = {"error": "%s: %s" % (type(e).__name__, e)}
        if status is not None:
            a["status"] = "%08x" % (status & 0xFFFFFFFF)
    print(json.dumps(a), flush=True)
