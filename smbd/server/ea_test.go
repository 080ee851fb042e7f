package server

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

func (p *peer) setEA(id smb2.FileID, list []byte) ntstatus.Status {
	p.t.Helper()
	h, _ := p.ask(smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileFullEa), FileID: id, Buffer: list})
	return h.Status
}

// eas asks for attributes; what comes back is said as "name=value".
func (p *peer) eas(id smb2.FileID, flags, room uint32, input []byte) string {
	p.t.Helper()
	h, msg := p.ask(smb2.QueryInfo, &smb2.QueryInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileFullEa), OutputBufferLength: room, FileID: id, Flags: flags, InputBuffer: input})
	var a smb2.QueryInfoResponse
	var s []string
	if h.Status != 0 {
		s = append(s, h.Status.String())
	}
	if h.Status == 0 || h.Status == ntstatus.BufferOverflow {
		if err := a.Parse(msg); err != nil {
			p.t.Fatal(err)
		}
		list, err := fscc.ParseEAs(a.Buffer)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, e := range list {
			s = append(s, fmt.Sprintf("%s=%s", e.Name, e.Value))
		}
	}
	return strings.Join(s, " ")
}

// eaNameList is FILE_GET_EA_INFORMATION, [MS-FSCC] 2.4.16.1, of one name.
func eaNameList(name string) []byte {
	b := wire.AppendZero(nil, 4)
	return append(append(append(b, uint8(len(name))), name...), 0)
}

// Attributes are set, replaced in any case, listed in order and piece by piece, and taken away; the door's own are nobody's.
func TestExtendedAttributes(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/f", nil, 0o644)
	p := s.dial(t, smb2.Dialect311).logon()
	p.close(p.open(opening("f:stream", smb2.FileOpenIf)))
	id := p.open(opening("f", smb2.FileOpen))
	if got := p.eas(id, 0, 1000, nil); got != "STATUS_NO_EAS_ON_FILE" {
		t.Errorf("at first: %s", got)
	}
	two := fscc.AppendEAs(nil, []fscc.EA{{Name: "b", Value: []byte("2")}, {Name: "Author", Value: []byte("me")}})
	if st := p.setEA(id, two); st != 0 {
		t.Fatal(st)
	}
	if st := p.setEA(id, fscc.AppendEAs(nil, []fscc.EA{{Name: "AUTHOR", Value: []byte("you")}})); st != 0 {
		t.Error(st)
	}
	unix.Setxattr(s.dir+"/f", "user.by.unix", []byte("u"), 0)
	if got := s.xattr("f", "user.Author"); got != "you" {
		t.Errorf("on disk: %q", got)
	}
	var all fscc.FileAllInformation
	if err := all.Parse(p.info(id, fscc.FileAll)); err != nil || all.Ea.EaSize != 4+(5+6+3)+(5+1+1)+(5+7+1) {
		t.Errorf("EaSize %d, %v", all.Ea.EaSize, err)
	}
	for _, c := range []struct {
		flags, room uint32
		input       []byte
		want        string
	}{
		{0, 1000, nil, "Author=you b=2 by.unix=u"},
		{0, 1000, nil, "STATUS_NO_MORE_EAS"},
		{smb2.QueryRestartScan, 40, nil, "STATUS_BUFFER_OVERFLOW Author=you b=2"},
		{0, 40, nil, "by.unix=u"},
		{smb2.QueryRestartScan | smb2.QueryReturnSingleEntry, 40, nil, "Author=you"},
		{smb2.QueryRestartScan, 17, nil, "STATUS_BUFFER_TOO_SMALL"},
		{0, 1000, eaNameList("author"), "Author=you"},
		{0, 1000, eaNameList("none"), "none="},
		{0, 1000, eaNameList("DosAttrib"), "STATUS_ACCESS_DENIED"},
		{0, 1000, eaNameList("a*"), "STATUS_INVALID_EA_NAME"},
		{0, 1000, []byte{1, 2}, "STATUS_EA_LIST_INCONSISTENT"},
	} {
		if got := p.eas(id, c.flags, c.room, c.input); got != c.want {
			t.Errorf("flags %d, room %d, % x: %s, want %s", c.flags, c.room, c.input, got, c.want)
		}
	}
	for _, c := range []struct {
		list []byte
		want ntstatus.Status
	}{
		{fscc.AppendEAs(nil, []fscc.EA{{Name: "DOSATTRIB", Value: []byte("x")}}), ntstatus.AccessDenied},
		{fscc.AppendEAs(nil, []fscc.EA{{Name: "DosStream.stream:$DATA", Value: []byte("x")}}), ntstatus.InvalidEAName},
		{fscc.AppendEAs(nil, []fscc.EA{{Name: "dosstream.x", Value: []byte("x")}}), ntstatus.AccessDenied},
		{fscc.AppendEAs(nil, []fscc.EA{{Name: "", Value: []byte("x")}}), ntstatus.InvalidEAName},
		{fscc.AppendEAs(nil, []fscc.EA{{Flags: fscc.FileNeedEA, Name: "n", Value: []byte("x")}}), ntstatus.InvalidParameter},
		{two[:5], ntstatus.EAListInconsistent},
		{fscc.AppendEAs(nil, []fscc.EA{{Name: "big", Value: make([]byte, 0x8000)}}), ntstatus.EATooLarge},
		{fscc.AppendEAs(nil, []fscc.EA{{Name: "B"}, {Name: "none"}}), 0},
	} {
		if st := p.setEA(id, c.list); st != c.want {
			t.Errorf("% .20x: %v, want %v", c.list, st, c.want)
		}
	}
	if got := p.eas(id, smb2.QueryRestartScan, 1000, nil); got != "Author=you by.unix=u" {
		t.Errorf("at last: %s", got)
	}
	p.close(id)
	q := opening("f", smb2.FileOpen)
	q.DesiredAccess = smb2.FileReadData
	id = p.open(q)
	if got := p.eas(id, 0, 1000, nil); got != "STATUS_ACCESS_DENIED" {
		t.Errorf("without the right to read them: %s", got)
	}
	if st := p.setEA(id, two); st != ntstatus.AccessDenied {
		t.Errorf("without the right to write them: %v", st)
	}
	p.close(id)
}

// CREATE sets attributes of what it makes or overwrites, and refuses a bad list before anything is made. [MS-SMB2] 3.3.5.9.1.
func TestCreateWithAttributes(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	with := func(d smb2.CreateDisposition, value string) *smb2.CreateRequest {
		q := opening("f", d)
		q.Contexts.ExtendedAttributes = fscc.AppendEAs(nil, []fscc.EA{{Name: "a", Value: []byte(value)}})
		return q
	}
	for _, c := range []struct {
		d           smb2.CreateDisposition
		value, want string
	}{{smb2.FileCreate, "1", "1"}, {smb2.FileOpen, "2", "1"}, {smb2.FileOverwrite, "3", "3"}} {
		p.close(p.open(with(c.d, c.value)))
		if got := s.xattr("f", "user.a"); got != c.want {
			t.Errorf("%v: %q, want %q", c.d, got, c.want)
		}
	}
	q := opening("g", smb2.FileCreate)
	q.Contexts.ExtendedAttributes = fscc.AppendEAs(nil, []fscc.EA{{Name: "a=b", Value: []byte("x")}})
	p.fails(ntstatus.InvalidEAName, smb2.Create, q)
	q.Contexts.ExtendedAttributes = fscc.AppendEAs(nil, []fscc.EA{{Name: "big", Value: make([]byte, 0x8000)}})
	p.fails(ntstatus.EATooLarge, smb2.Create, q)
	if _, err := os.Stat(s.dir + "/g"); !os.IsNotExist(err) {
		t.Errorf("a refused file is there: %v", err)
	}
}
