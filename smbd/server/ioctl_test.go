package server

import (
	"bytes"
	"os"
	"reflect"
	"testing"

	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// control sends an FSCTL; out is what came back, beside whatever status.
func (p *peer) control(id smb2.FileID, code smb2.CtlCode, input []byte, room uint32) (ntstatus.Status, []byte) {
	p.t.Helper()
	h, msg := p.ask(smb2.IOCTL, &smb2.IOCTLRequest{CtlCode: code, FileID: id, MaxOutputResponse: room, Flags: smb2.IOCTLFlagIsFSCTL, Input: input})
	var a smb2.IOCTLResponse
	if len(msg) > smb2.HeaderSize+9 {
		if err := a.Parse(msg); err != nil {
			p.t.Fatal(err)
		}
	}
	return h.Status, a.Output
}

func (p *peer) resumeKey(id smb2.FileID) (key [24]byte) {
	p.t.Helper()
	st, b := p.control(id, fscc.FsctlSrvRequestResumeKey, nil, 32)
	if st != 0 || len(b) != 32 {
		p.t.Fatalf("resume key: %v, %d bytes", st, len(b))
	}
	copy(key[:], b)
	return key
}

func chunks(key [24]byte, c ...smb2.CopyChunk) []byte {
	return (&smb2.SrvCopyChunkCopy{SourceKey: key, Chunks: c}).Append(nil)
}

// FSCTL_SRV_COPYCHUNK: what is copied, what is refused, and what the client learns. [MS-SMB2] 3.3.5.15.6.
func TestCopyChunk(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/from", []byte("0123456789"), 0o644)
	p := s.dial(t, smb2.Dialect311).logon()
	src, dst := p.open(opening("from", smb2.FileOpen)), p.open(opening("to", smb2.FileCreate))
	key := p.resumeKey(src)
	limits := [3]uint32{256, 1 << 20, 16 << 20}
	for _, c := range []struct {
		name  string
		input []byte
		room  uint32
		want  ntstatus.Status
		says  [3]uint32 // chunks, bytes of the chunk that failed, bytes in all
		text  string
	}{
		{"two chunks", chunks(key, smb2.CopyChunk{SourceOffset: 0, TargetOffset: 5, Length: 5}, smb2.CopyChunk{SourceOffset: 5, TargetOffset: 0, Length: 5}), 12, 0, [3]uint32{2, 0, 10}, "5678901234"},
		{"beyond the source", chunks(key, smb2.CopyChunk{Length: 1}, smb2.CopyChunk{SourceOffset: 8, Length: 3}), 12, ntstatus.InvalidViewSize, [3]uint32{1, 0, 1}, "0"},
		{"a chunk too long", chunks(key, smb2.CopyChunk{Length: 1<<20 + 1}), 12, ntstatus.InvalidParameter, limits, ""},
		{"a chunk of nothing", chunks(key, smb2.CopyChunk{}), 12, ntstatus.InvalidParameter, limits, ""},
		{"too many", chunks(key, make257()...), 12, ntstatus.InvalidParameter, limits, ""},
		{"no room for the answer", chunks(key, smb2.CopyChunk{Length: 1}), 11, ntstatus.InvalidParameter, [3]uint32{}, ""},
		{"short", chunks(key, smb2.CopyChunk{Length: 1})[:40], 12, ntstatus.InvalidParameter, [3]uint32{}, ""},
		{"another's key", chunks([24]byte{9}, smb2.CopyChunk{Length: 1}), 12, ntstatus.ObjectNameNotFound, [3]uint32{}, ""},
	} {
		os.Truncate(s.dir+"/to", 0)
		st, out := p.control(dst, fscc.FsctlSrvCopyChunk, c.input, c.room)
		var a smb2.SrvCopyChunkResponse
		if out != nil {
			if err := a.Parse(out); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		b, _ := os.ReadFile(s.dir + "/to")
		if got := [3]uint32{a.ChunksWritten, a.ChunkBytesWritten, a.TotalBytesWritten}; st != c.want || got != c.says || string(b) != c.text {
			t.Errorf("%s: %v, %v, %q; want %v, %v, %q", c.name, st, got, b, c.want, c.says, c.text)
		}
	}
	p.close(src)
	if st, _ := p.control(dst, fscc.FsctlSrvCopyChunk, chunks(key, smb2.CopyChunk{Length: 1}), 12); st != ntstatus.ObjectNameNotFound {
		t.Errorf("from a closed source: %v", st)
	}
}

func make257() []smb2.CopyChunk {
	c := make([]smb2.CopyChunk, 257)
	for i := range c {
		c[i].Length = 1
	}
	return c
}

// Each end of a copy needs its right, and streams are copied like files.
func TestCopyChunkRights(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/f", []byte("0123456789"), 0o644)
	p := s.dial(t, smb2.Dialect311).logon()
	with := func(name string, access smb2.AccessMask) smb2.FileID {
		q := opening(name, smb2.FileOpenIf)
		q.DesiredAccess = access
		return p.open(q)
	}
	ids := map[string]smb2.FileID{
		"read": with("f", smb2.FileReadData), "execute": with("f", smb2.FileExecute), "attributes": with("f", smb2.FileReadAttributes),
		"all": with("t", smb2.FileReadData|smb2.FileWriteData), "write": with("t", smb2.FileWriteData), "stream": with("t:s", smb2.FileReadData|smb2.FileWriteData),
	}
	for _, c := range []struct {
		from, to string
		code     smb2.CtlCode
		want     ntstatus.Status
	}{
		{"read", "all", fscc.FsctlSrvCopyChunk, 0}, {"execute", "all", fscc.FsctlSrvCopyChunk, 0}, {"attributes", "all", fscc.FsctlSrvCopyChunk, ntstatus.AccessDenied},
		{"read", "write", fscc.FsctlSrvCopyChunk, ntstatus.AccessDenied}, {"read", "write", fscc.FsctlSrvCopyChunkWrite, 0}, {"read", "read", fscc.FsctlSrvCopyChunk, ntstatus.AccessDenied},
		{"read", "stream", fscc.FsctlSrvCopyChunk, 0}, {"stream", "all", fscc.FsctlSrvCopyChunk, 0},
	} {
		if st, _ := p.control(ids[c.to], c.code, chunks(p.resumeKey(ids[c.from]), smb2.CopyChunk{Length: 3}), 12); st != c.want {
			t.Errorf("%s to %s by %x: %v, want %v", c.from, c.to, c.code, st, c.want)
		}
	}
	if got := s.xattr("t", "user.DosStream.s:$DATA"); got != "012\x00" {
		t.Errorf("the stream: %q", got)
	}
	for _, id := range ids {
		p.close(id)
	}
}

// What the counter refuses is not done: each FSCTL that reads or writes asks for its range first.
func TestControlsAskTheCounter(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/f", []byte("0123456789"), 0o644)
	p := s.dial(t, smb2.Dialect311).logon()
	id := p.open(opening("f", smb2.FileOpen))
	key := p.resumeKey(id)
	var asked []lock.AccessRequest
	s.counter.mu.Lock()
	s.counter.onDo = func(r lock.AccessRequest) (lock.Result, bool) {
		asked = append(asked, lock.AccessRequest{Op: r.Op, Offset: r.Offset, Length: r.Length})
		return lock.Result{Outcome: lock.Denied}, r.Op == lock.OpWrite
	}
	s.counter.mu.Unlock()
	dup := fscc.DuplicateExtentsData{Source: id, SourceOffset: 1, TargetOffset: 5, ByteCount: 2}
	for _, c := range []struct {
		code  smb2.CtlCode
		input []byte
		want  []lock.AccessRequest
	}{
		{fscc.FsctlSrvCopyChunk, chunks(key, smb2.CopyChunk{SourceOffset: 1, TargetOffset: 5, Length: 2}), []lock.AccessRequest{{Op: lock.OpRead, Offset: 1, Length: 2}, {Op: lock.OpWrite, Offset: 5, Length: 2}}},
		{fscc.FsctlDuplicateExtentsToFile, dup.Append(nil), []lock.AccessRequest{{Op: lock.OpRead, Offset: 1, Length: 2}, {Op: lock.OpWrite, Offset: 5, Length: 2}}},
		{fscc.FsctlSetZeroData, (&fscc.FileZeroDataInformation{FileOffset: 2, BeyondFinalZero: 6}).Append(nil), []lock.AccessRequest{{Op: lock.OpWrite, Offset: 2, Length: 4}}},
		{fscc.FsctlFileLevelTrim, (&fscc.FileLevelTrim{Ranges: []fscc.FileAllocatedRange{{FileOffset: 3, Length: 1}}}).Append(nil), []lock.AccessRequest{{Op: lock.OpWrite, Offset: 3, Length: 1}}},
	} {
		asked = nil
		st, _ := p.control(id, c.code, c.input, 12)
		if st != ntstatus.FileLockConflict || !reflect.DeepEqual(asked, c.want) {
			t.Errorf("%x: %v, asked %v; want %v", c.code, st, asked, c.want)
		}
	}
	if b, _ := os.ReadFile(s.dir + "/f"); string(b) != "0123456789" {
		t.Errorf("the file: %q", b)
	}
	p.close(id)
}

// The rest: what each answers.
func TestControls(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/f", bytes.Repeat([]byte("x"), 8192), 0o644)
	p := s.dial(t, smb2.Dialect311).logon()
	id := p.open(opening("f", smb2.FileOpen))
	whole := (&fscc.FileAllocatedRange{Length: 1 << 40}).Append(nil)
	for _, c := range []struct {
		name  string
		code  smb2.CtlCode
		input []byte
		room  uint32
		want  ntstatus.Status
		out   []byte
	}{
		{"compression", fscc.FsctlGetCompression, nil, 2, 0, []byte{0, 0}},
		{"compress", fscc.FsctlSetCompression, []byte{1, 0}, 0, ntstatus.NotSupported, nil},
		{"compress not", fscc.FsctlSetCompression, []byte{0, 0}, 0, 0, nil},
		{"trim", fscc.FsctlFileLevelTrim, (&fscc.FileLevelTrim{Ranges: []fscc.FileAllocatedRange{{Length: 4096}, {FileOffset: 1 << 40, Length: 1}}}).Append(nil), 4, 0, []byte{2, 0, 0, 0}},
		{"allocated", fscc.FsctlQueryAllocatedRanges, whole, 16, 0, (&fscc.FileAllocatedRange{Length: 8192}).Append(nil)},
		{"allocated, no room", fscc.FsctlQueryAllocatedRanges, whole, 15, ntstatus.BufferTooSmall, nil},
		{"sparse", fscc.FsctlSetSparse, nil, 0, 0, nil},
		{"allocated now", fscc.FsctlQueryAllocatedRanges, whole, 16, 0, (&fscc.FileAllocatedRange{FileOffset: 4096, Length: 4096}).Append(nil)},
		{"not sparse", fscc.FsctlSetSparse, []byte{0}, 0, 0, nil},
		{"allocated again", fscc.FsctlQueryAllocatedRanges, whole, 16, 0, (&fscc.FileAllocatedRange{Length: 8192}).Append(nil)},
		{"zeros backwards", fscc.FsctlSetZeroData, (&fscc.FileZeroDataInformation{FileOffset: 2, BeyondFinalZero: 1}).Append(nil), 0, ntstatus.InvalidParameter, nil},
		{"unknown", 0x00090300, nil, 0, ntstatus.InvalidDeviceRequest, nil},
	} {
		if st, out := p.control(id, c.code, c.input, c.room); st != c.want || !bytes.Equal(out, c.out) {
			t.Errorf("%s: %v, % x; want %v, % x", c.name, st, out, c.want, c.out)
		}
	}
	st, a := p.control(id, fscc.FsctlCreateOrGetObjectID, nil, 64)
	if _, b := p.control(id, fscc.FsctlGetObjectID, nil, 64); st != 0 || len(a) != 64 || !bytes.Equal(a, b) {
		t.Errorf("object id: %v, % x", st, a)
	}
	p.close(id)
}
