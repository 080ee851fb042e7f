package server

import (
	"os"
	"strings"
	"testing"

	"dittofs/gateway/config"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// mac is a Mac on a share that serves Macs; it has sent the AAPL context.
func mac(t *testing.T, change func(*config.Config)) (*served, *peer) {
	t.Helper()
	s := serve(t, func(c *config.Config) {
		c.Exports[0].Apple = true
		if change != nil {
			change(c)
		}
	})
	p := s.dial(t, smb2.Dialect311).logon()
	return s, p
}

// hello opens the share's root with a server query.
func (p *peer) hello() *smb2.AAPLAnswer {
	p.t.Helper()
	q := opening("", smb2.FileOpen)
	q.DesiredAccess = smb2.FileGenericRead
	q.Contexts.AAPL = (&smb2.AAPLQuery{Command: smb2.AAPLServerQuery, Bitmap: 7, ClientCaps: 13}).Append(nil)
	var r smb2.CreateResponse
	p.do(smb2.Create, q, &r)
	p.close(r.FileID)
	if r.Contexts.AAPL == nil {
		return nil
	}
	a := new(smb2.AAPLAnswer)
	if err := a.Parse(r.Contexts.AAPL); err != nil {
		p.t.Fatal(err)
	}
	return a
}

// The server query is answered on a share that serves Macs, and only there.
func TestAAPL(t *testing.T) {
	_, p := mac(t, nil)
	if a := p.hello(); a == nil || *a != (smb2.AAPLAnswer{Bitmap: 7, ServerCaps: 15, Model: model}) {
		t.Errorf("%+v", a)
	}
	_, p = mac(t, func(c *config.Config) { c.Exports[0].TimeMachine = true })
	if a := p.hello(); a == nil || a.VolumeCaps != smb2.AAPLFullSync {
		t.Errorf("for backups: %+v", a)
	}
	p = serve(t, nil).dial(t, smb2.Dialect311).logon()
	if a := p.hello(); a != nil {
		t.Errorf("elsewhere: %+v", a)
	}
}

// A Mac's list of a directory says the user's rights, the resource fork's length, what the Finder keeps, and the mode.
func TestFinderEntry(t *testing.T) {
	s, p := mac(t, nil)
	os.WriteFile(s.dir+"/f", nil, 0o640)
	write := func(name string, b []byte) {
		id := p.open(opening(name, smb2.FileOpenIf))
		p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Data: b}, &smb2.WriteResponse{})
		p.close(id)
	}
	info := newAfpInfo()
	copy(info[16:], "TEXTttxt\x01\x02")
	write("f:AFP_AfpInfo", info)
	write("f:AFP_Resource", []byte("fork"))
	list := func() fscc.DirectoryEntry {
		q := opening("", smb2.FileOpen)
		q.DesiredAccess = smb2.FileGenericRead
		id := p.open(q)
		var a smb2.QueryDirectoryResponse
		p.do(smb2.QueryDirectory, &smb2.QueryDirectoryRequest{FileInformationClass: uint8(fscc.FileIDBothDirectory), OutputBufferLength: 4096, FileID: id, FileName: "f"}, &a)
		p.close(id)
		// ShortNameLength stands at 68, Reserved2 at 94.
		if n := a.Buffer[68]; n == 24 {
			return fscc.DirectoryEntry{EaSize: uint32(a.Buffer[64]) | uint32(a.Buffer[65])<<8, Finder: &fscc.FinderEntry{ResourceFork: uint64(a.Buffer[70]),
				Info: [16]byte(a.Buffer[78:94]), Mode: uint16(a.Buffer[94]) | uint16(a.Buffer[95])<<8}}
		}
		return fscc.DirectoryEntry{}
	}
	if e := list(); e.Finder != nil {
		t.Errorf("before the Mac said that it is one: %+v", e.Finder)
	}
	p.hello()
	id := p.open(opening("f", smb2.FileOpen))
	if got := p.info(id, fscc.FileInternal); string(got) != string(make([]byte, 8)) {
		t.Errorf("a file's number: % x", got)
	}
	p.close(id)
	e := list()
	if e.Finder == nil || e.Finder.ResourceFork != 4 || string(e.Finder.Info[:10]) != "TEXTttxt\x01\x02" || e.Finder.Mode != 0o100640 || e.EaSize&uint32(smb2.FileReadData) == 0 {
		t.Errorf("%+v, rights %x", e.Finder, e.EaSize)
	}
}

// AFP_AfpInfo has 60 bytes whatever a Mac does, is not there without the Finder's bytes, and a stream without bytes is none.
func TestMacStreams(t *testing.T) {
	s, p := mac(t, nil)
	p.close(p.open(opening("f:empty", smb2.FileOpenIf)))
	if got := s.xattr("f", "user.DosStream.empty:$DATA"); got != "-" {
		t.Errorf("an empty stream stays: %q", got)
	}
	id := p.open(opening("f:AFP_AfpInfo", smb2.FileOpenIf))
	var r smb2.ReadResponse
	p.do(smb2.Read, &smb2.ReadRequest{FileID: id, Length: 100, Offset: 7}, &r)
	if string(r.Data) != string(newAfpInfo()) {
		t.Errorf("a new one: % x", r.Data)
	}
	if got := p.streams(id); got != "::$DATA=0" {
		t.Errorf("streams: %s", got)
	}
	p.fails(ntstatus.InvalidParameter, smb2.Write, &smb2.WriteRequest{FileID: id, Data: []byte("foo")})
	info := newAfpInfo()
	copy(info[16:], "TEXT")
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Data: append(info, 1, 2, 3)}, &smb2.WriteResponse{})
	p.fails(ntstatus.AllottedSpaceExceeded, smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileEndOfFile), FileID: id,
		Buffer: (&fscc.FileEndOfFileInformation{EndOfFile: 61}).Append(nil)})
	p.do(smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileEndOfFile), FileID: id,
		Buffer: (&fscc.FileEndOfFileInformation{}).Append(nil)}, &smb2.SetInfoResponse{})
	if got := p.streams(id); got != "::$DATA=0 :AFP_AfpInfo:$DATA=60" {
		t.Errorf("streams: %s", got)
	}
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Data: newAfpInfo()}, &smb2.WriteResponse{})
	p.close(id)
	p.fails(ntstatus.ObjectNameNotFound, smb2.Create, opening("f:AFP_AfpInfo", smb2.FileOpen))
	if got := s.xattr("f", "user.DosStream.AFP_AfpInfo:$DATA"); got != "-" {
		t.Errorf("without the Finder's bytes it stays: %q", got)
	}
	id = p.open(opening("f:AFP_Resource", smb2.FileOpenIf))
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Data: []byte("fork")}, &smb2.WriteResponse{})
	p.close(id)
	q := opening("f:AFP_Resource", smb2.FileOpen)
	q.CreateOptions = smb2.FileDeleteOnClose
	p.close(p.open(q))
	if got := s.forkOf("._f"); got != "fork" {
		t.Errorf("the resource fork: %q", got)
	}
}

// Without chunks a Mac means the whole file, with its streams and attributes; others mean nothing.
func TestCopyFile(t *testing.T) {
	s, p := mac(t, nil)
	text := strings.Repeat("0123456789", 200000) // more than a chunk
	os.WriteFile(s.dir+"/from", []byte(text), 0o644)
	id := p.open(opening("from:s", smb2.FileOpenIf))
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Data: []byte("stream")}, &smb2.WriteResponse{})
	p.close(id)
	src, dst := p.open(opening("from", smb2.FileOpen)), p.open(opening("to", smb2.FileCreate))
	if st := p.setEA(src, fscc.AppendEAs(nil, []fscc.EA{{Name: "a", Value: []byte("1")}})); st != 0 {
		t.Fatal(st)
	}
	key := p.resumeKey(src)
	for _, want := range []string{"", text} {
		st, out := p.control(dst, fscc.FsctlSrvCopyChunk, chunks(key), 12)
		var a smb2.SrvCopyChunkResponse
		if err := a.Parse(out); st != 0 || err != nil || int(a.TotalBytesWritten) != len(want) {
			t.Fatalf("%v, %v, %+v", st, err, a)
		}
		if b, _ := os.ReadFile(s.dir + "/to"); string(b) != want {
			t.Errorf("%d bytes, want %d", len(b), len(want))
		}
		p.hello()
	}
	if s.xattr("to", "user.DosStream.s:$DATA") != "stream\x00" || s.xattr("to", "user.a") != "1" {
		t.Error("a stream or an attribute is missing")
	}
	p.close(src)
	p.close(dst)
}

// A Mac finds owner, group and mode in the descriptor, and sets the mode by it; the entries themselves are not kept.
func TestNFSEntries(t *testing.T) {
	s, p := mac(t, nil)
	p.hello()
	os.WriteFile(s.dir+"/f", nil, 0o640)
	id := p.open(opening("f", smb2.FileOpen))
	query := func() *dtyp.SecurityDescriptor {
		var a smb2.QueryInfoResponse
		p.do(smb2.QueryInfo, &smb2.QueryInfoRequest{InfoType: smb2.InfoSecurity, AdditionalInformation: uint32(allSecurity), OutputBufferLength: 4096, FileID: id}, &a)
		d := new(dtyp.SecurityDescriptor)
		if err := d.Parse(a.Buffer); err != nil {
			t.Fatal(err)
		}
		return d
	}
	says := func(d *dtyp.SecurityDescriptor) (s [4][]uint32) {
		for _, a := range d.DACL.ACEs {
			if kind, v, ok := nfsEntry(a.SID); ok {
				s[kind] = append(s[kind], v)
			}
		}
		return s
	}
	d := query()
	if got := says(d); len(got[nfsMode]) != 1 || got[nfsMode][0] != 0o640 || len(got[nfsOwner]) != 1 || len(got[nfsGroup]) != 1 {
		t.Errorf("entries: %v", got)
	}
	for i := range d.DACL.ACEs {
		if kind, _, ok := nfsEntry(d.DACL.ACEs[i].SID); ok && kind == nfsMode {
			d.DACL.ACEs[i].SID = nfsSID(nfsMode, 0o600)
		}
	}
	p.do(smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoSecurity, AdditionalInformation: uint32(smb2.DACLSecurityInformation), FileID: id, Buffer: d.Append(nil)}, &smb2.SetInfoResponse{})
	if st, err := os.Stat(s.dir + "/f"); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if got := says(query()); len(got[nfsMode]) != 1 || got[nfsMode][0] != 0o600 {
		t.Errorf("entries: %v", got)
	}
	p.close(id)
}
