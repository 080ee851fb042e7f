package server

import (
	"os"
	"testing"
	"time"

	"dittofs/smbd/fscc"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// Times that a client sets are what it and the listing see; whoever sets the time of the last write does not change it by writing, until it
// thaws it; and what another door does ends a ChangeTime. [MS-FSA] 2.1.5.15.2.
func TestSetTimes(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	var o, other smb2.CreateResponse
	p.do(smb2.Create, opening("f", smb2.FileCreate), &o)
	p.do(smb2.Create, opening("f", smb2.FileOpen), &other)
	at := func(year int) wire.Filetime { return wire.FiletimeOf(time.Date(year, 1, 2, 3, 4, 5, 600, time.UTC)) }
	set := func(b fscc.FileBasicInformation) {
		t.Helper()
		p.do(smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileBasic), FileID: o.FileID, Buffer: b.Append(nil)}, new(smb2.SetInfoResponse))
	}
	get := func() (b fscc.FileBasicInformation) {
		t.Helper()
		var a smb2.QueryInfoResponse
		p.do(smb2.QueryInfo, &smb2.QueryInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileBasic), OutputBufferLength: 40, FileID: other.FileID}, &a)
		if err := b.Parse(a.Buffer); err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(by smb2.FileID) {
		t.Helper()
		p.do(smb2.Write, &smb2.WriteRequest{FileID: by, Data: []byte("x")}, new(smb2.WriteResponse))
	}
	want := fscc.FileBasicInformation{CreationTime: at(1968), LastAccessTime: at(2001), LastWriteTime: at(2002), ChangeTime: at(2003), FileAttributes: smb2.FileAttributeArchive}
	set(want)
	if got := get(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	set(fscc.FileBasicInformation{CreationTime: fscc.TimeFreeze, LastAccessTime: fscc.TimeFreeze, LastWriteTime: fscc.TimeFreeze, ChangeTime: fscc.TimeThaw})
	if got := get(); got != want {
		t.Errorf("frozen: got %+v, want %+v", got, want)
	}
	write(o.FileID)
	if got := get(); got.LastWriteTime != want.LastWriteTime || got.CreationTime != want.CreationTime {
		t.Errorf("written by who set it: %+v", got)
	}
	write(other.FileID)
	if got := get(); got.LastWriteTime == want.LastWriteTime {
		t.Error("another's write does not count")
	}
	set(fscc.FileBasicInformation{LastWriteTime: at(2004), ChangeTime: at(2005)})
	set(fscc.FileBasicInformation{LastWriteTime: fscc.TimeThaw})
	write(o.FileID)
	if got := get(); got.LastWriteTime == at(2004) {
		t.Error("thawed, and a write does not count")
	}
	set(fscc.FileBasicInformation{ChangeTime: at(2005)})
	later := time.Now()
	if got := get(); got.ChangeTime != at(2005) {
		t.Errorf("change time %v", got.ChangeTime.Time())
	}
	i := info{change: later.Add(time.Second), mode: 0o100644}
	i.dos(appendDOSChange(appendDOSAttrib(nil, 0x20, time.Time{}), at(2005), wire.FiletimeOf(later)), "f")
	if !i.change.Equal(later.Add(time.Second)) {
		t.Error("changed by another door, and the set time stays")
	}
	if _, err := os.Stat(s.dir + "/f"); err != nil {
		t.Error(err)
	}
}
