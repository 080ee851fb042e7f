package server

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dittofs/smbd/appledouble"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// forkOf is the resource fork in an AppleDouble file on the disk; "-" where there is none.
func (s *served) forkOf(name string) string {
	b, err := os.ReadFile(s.dir + "/" + name)
	if err != nil {
		return "-"
	}
	h, err := appledouble.Parse(b, uint64(len(b)))
	if err != nil || h.Fork.End() != uint64(len(b)) || !h.Bare() {
		return err.Error()
	}
	return string(b[h.Fork.Offset:])
}

// fromMac is an AppleDouble file as macOS writes it, with the Finder's information TEXT, an attribute a:b and a resource fork. What is stripped has the
// fork where the notes end.
func fromMac(fork string) []byte {
	const finder, header, value = 50, 84, 136
	b := (&appledouble.File{Fork: appledouble.Entry{Offset: value + 5, Length: uint32(len(fork))}}).Append(nil)
	b = append(b, make([]byte, value-len(b))...)
	copy(b[8:], "Mac OS X        ")
	b[37] = value + 5 - finder // the Finder's information with the attribute
	copy(b[finder:], "TEXT")
	copy(b[header:], "ATTR")
	b[header+35] = 1
	copy(b[header+36:], "\x00\x00\x00\x88\x00\x00\x00\x05\x00\x00\x04a:b\x00")
	return append(append(b, "value"...), fork...)
}

func (p *peer) names(pattern string) string {
	p.t.Helper()
	q := opening("", smb2.FileOpen)
	q.DesiredAccess = smb2.FileGenericRead
	id := p.open(q)
	defer p.close(id)
	var a smb2.QueryDirectoryResponse
	p.do(smb2.QueryDirectory, &smb2.QueryDirectoryRequest{FileInformationClass: uint8(fscc.FileNames), OutputBufferLength: 4096, FileID: id, FileName: pattern}, &a)
	list, err := fscc.ParseDirectory(fscc.FileNames, a.Buffer)
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.FileName)
	}
	return strings.Join(names, " ")
}

func (p *peer) setInfo(id smb2.FileID, class fscc.FileClass, b []byte) {
	p.t.Helper()
	p.do(smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(class), FileID: id, Buffer: b}, &smb2.SetInfoResponse{})
}

// A resource fork is longer than any attribute, lies in the AppleDouble file with the mode of its file, and goes where the file goes.
func TestResourceFork(t *testing.T) {
	s, p := mac(t, nil)
	os.WriteFile(s.dir+"/f", nil, 0o640)
	fork := strings.Repeat("0123456789", 10000)
	id := p.open(opening("f:afp_resource", smb2.FileOpenIf))
	for _, at := range []int{50000, 0} {
		p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Offset: uint64(at), Data: []byte(fork[at : at+50000])}, &smb2.WriteResponse{})
	}
	if got := p.streams(id); got != "::$DATA=0 :AFP_Resource:$DATA=100000" {
		t.Errorf("streams: %s", got)
	}
	var r smb2.ReadResponse
	p.do(smb2.Read, &smb2.ReadRequest{FileID: id, Length: 100, Offset: 99995}, &r)
	if string(r.Data) != "56789" {
		t.Errorf("READ: %q", r.Data)
	}
	p.setInfo(id, fscc.FileEndOfFile, (&fscc.FileEndOfFileInformation{EndOfFile: 5}).Append(nil))
	p.close(id)
	if got := s.forkOf("._f"); got != "01234" {
		t.Errorf("on disk: %q", got)
	}
	if st, err := os.Stat(s.dir + "/._f"); err != nil || st.Mode() != 0o640 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if got := p.names("*"); got != ". .. f" {
		t.Errorf("listed: %s", got)
	}

	id = p.open(opening("f", smb2.FileOpen))
	p.setInfo(id, fscc.FileRename, (&fscc.FileRenameInformation{FileName: "g"}).Append(nil))
	p.close(id)
	if got := s.forkOf("._f") + s.forkOf("._g"); got != "-01234" {
		t.Errorf("after the renaming: %q", got)
	}

	src, dst := p.open(opening("g", smb2.FileOpen)), p.open(opening("copy", smb2.FileCreate))
	p.hello()
	if st, _ := p.control(dst, fscc.FsctlSrvCopyChunk, chunks(p.resumeKey(src)), 12); st != 0 || s.forkOf("._copy") != "01234" {
		t.Errorf("copied: %v, %q", st, s.forkOf("._copy"))
	}
	p.close(src)
	p.close(dst)

	p.close(p.open(opening("copy", smb2.FileOverwrite)))
	if got := s.forkOf("._copy"); got != "-" {
		t.Errorf("after the overwriting: %q", got)
	}
	q := opening("g", smb2.FileOpen)
	q.CreateOptions = smb2.FileDeleteOnClose
	p.close(p.open(q))
	if got := s.forkOf("._g"); got != "-" {
		t.Errorf("after the deletion: %q", got)
	}

	os.WriteFile(s.dir+"/._gone", nil, 0o644)
	if got := p.names("._*"); got != "._gone" {
		t.Errorf("without its file: %s", got)
	}
}

// What macOS left in an AppleDouble file shows as streams; reading leaves it as it is, writing takes it to where streams are, but for the fork.
func TestDoubleFromMac(t *testing.T) {
	s, p := mac(t, nil)
	os.WriteFile(s.dir+"/f", nil, 0o644)
	left := fromMac("fork")
	os.WriteFile(s.dir+"/._f", left, 0o644)
	const want = "::$DATA=0 :AFP_AfpInfo:$DATA=60 :AFP_Resource:$DATA=4 :a\uf022b:$DATA=5"
	q := opening("f:a\uf022b", smb2.FileOpen)
	q.DesiredAccess = smb2.FileGenericRead
	id := p.open(q)
	var r smb2.ReadResponse
	p.do(smb2.Read, &smb2.ReadRequest{FileID: id, Length: 100}, &r)
	if got := p.streams(id); got != want || string(r.Data) != "value" {
		t.Errorf("streams: %s, %q", got, r.Data)
	}
	p.close(id)
	if b, _ := os.ReadFile(s.dir + "/._f"); !bytes.Equal(b, left) {
		t.Errorf("after reading:\n% x\n% x", b, left)
	}

	id = p.open(opening("f:AFP_Resource", smb2.FileOpen))
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Offset: 4, Data: []byte("ed")}, &smb2.WriteResponse{})
	if got := p.streams(id); got != strings.Replace(want, "=4", "=6", 1) {
		t.Errorf("streams: %s", got)
	}
	p.close(id)
	if got := s.forkOf("._f"); got != "forked" {
		t.Errorf("on disk: %q", got)
	}
	if got := s.xattr("f", "user.DosStream.a\uf022b:$DATA"); got != "value\x00" {
		t.Errorf("the attribute: %q", got)
	}
}

// A resource fork that is an attribute is read, and moves when it is written; what is no AppleDouble file stays what it is.
func TestForkElsewhere(t *testing.T) {
	s, p := mac(t, nil)
	os.WriteFile(s.dir+"/f", nil, 0o644)
	if err := unix.Setxattr(s.dir+"/f", "user.DosStream.AFP_Resource:$DATA", []byte("fork\x00"), 0); err != nil {
		t.Fatal(err)
	}
	q := opening("f:AFP_Resource", smb2.FileOpen)
	q.DesiredAccess = smb2.FileGenericRead
	id := p.open(q)
	var r smb2.ReadResponse
	p.do(smb2.Read, &smb2.ReadRequest{FileID: id, Length: 100}, &r)
	p.close(id)
	if string(r.Data) != "fork" || s.forkOf("._f") != "-" {
		t.Errorf("READ: %q", r.Data)
	}
	id = p.open(opening("f:AFP_Resource", smb2.FileOpen))
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Offset: 4, Data: []byte("ed")}, &smb2.WriteResponse{})
	p.close(id)
	if got := s.forkOf("._f") + s.xattr("f", "user.DosStream.AFP_Resource:$DATA"); got != "forked-" {
		t.Errorf("on disk: %q", got)
	}

	os.WriteFile(s.dir+"/g", nil, 0o644)
	os.WriteFile(s.dir+"/._g", []byte("text"), 0o644)
	p.fails(ntstatus.ObjectNameCollision, smb2.Create, opening("g:AFP_Resource", smb2.FileOpenIf))
	if b, err := os.ReadFile(s.dir + "/._g"); string(b) != "text" {
		t.Errorf("%q, %v", b, err)
	}
}

// The AppleDouble file has the mode that its file is given.
func TestDoubleFollowsMode(t *testing.T) {
	s, p := mac(t, nil)
	id := p.open(opening("f:AFP_Resource", smb2.FileOpenIf))
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Data: []byte("fork")}, &smb2.WriteResponse{})
	p.close(id)
	os.Chmod(s.dir+"/f", 0o600)
	id = p.open(opening("f", smb2.FileOpen))
	var a smb2.QueryInfoResponse
	p.do(smb2.QueryInfo, &smb2.QueryInfoRequest{InfoType: smb2.InfoSecurity, AdditionalInformation: uint32(allSecurity), OutputBufferLength: 4096, FileID: id}, &a)
	p.do(smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoSecurity, AdditionalInformation: uint32(smb2.DACLSecurityInformation), FileID: id, Buffer: a.Buffer}, &smb2.SetInfoResponse{})
	p.close(id)
	if st, err := os.Stat(s.dir + "/._f"); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// What Netatalk keeps for the Finder shows as AFP_AfpInfo, and becomes it when it is changed.
func TestNetatalk(t *testing.T) {
	s, p := mac(t, nil)
	os.WriteFile(s.dir+"/f", nil, 0o644)
	left := (&appledouble.File{Fork: appledouble.Entry{Offset: 82}}).Append(nil)
	copy(left[50:], "TEXTttxt")
	if err := unix.Setxattr(s.dir+"/f", netatalk, left, 0); err != nil {
		t.Fatal(err)
	}
	id := p.open(opening("f:AFP_AfpInfo", smb2.FileOpen))
	var r smb2.ReadResponse
	p.do(smb2.Read, &smb2.ReadRequest{FileID: id, Length: 100}, &r)
	if want := newAfpInfo(); string(r.Data) != string(want[:16])+"TEXTttxt"+string(want[24:]) {
		t.Errorf("READ: % x", r.Data)
	}
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Data: newAfpInfo()}, &smb2.WriteResponse{})
	p.close(id)
	p.fails(ntstatus.ObjectNameNotFound, smb2.Create, opening("f:AFP_AfpInfo", smb2.FileOpen))
	clear(left[50:58])
	if got := s.xattr("f", netatalk); got != string(left) {
		t.Errorf("the attribute: % x", got)
	}
}
