package server

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/config"
	"dittofs/gateway/fuzz"
	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// xattr reads an attribute as another program sees it; "-" where there is none.
func (s *served) xattr(file, name string) string {
	var b [1 << 16]byte
	n, err := unix.Getxattr(s.dir+"/"+file, name, b[:])
	if err != nil {
		return "-"
	}
	return string(b[:n])
}

func (p *peer) open(q *smb2.CreateRequest) smb2.FileID {
	p.t.Helper()
	var a smb2.CreateResponse
	p.do(smb2.Create, q, &a)
	return a.FileID
}

func (p *peer) close(id smb2.FileID) {
	p.t.Helper()
	p.do(smb2.Close, &smb2.CloseRequest{FileID: id}, &smb2.CloseResponse{})
}

func (p *peer) info(id smb2.FileID, class fscc.FileClass) []byte {
	p.t.Helper()
	var a smb2.QueryInfoResponse
	p.do(smb2.QueryInfo, &smb2.QueryInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(class), OutputBufferLength: 65536, FileID: id}, &a)
	return a.Buffer
}

// streams says what FileStreamInformation lists, as "name=size".
func (p *peer) streams(id smb2.FileID) string {
	p.t.Helper()
	list, err := fscc.ParseStreams(p.info(id, fscc.FileStream))
	if err != nil {
		p.t.Fatal(err)
	}
	var s []string
	for _, x := range list {
		s = append(s, fmt.Sprintf("%s=%d", x.Name, x.Size))
	}
	return strings.Join(s, " ")
}

// A stream is written, read, cut, listed, found in any case, overwritten and removed; what is on disk is what Samba puts there.
func TestStream(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	id := p.open(opening("file:Zone", smb2.FileCreate))
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Offset: 2, Data: []byte("text")}, &smb2.WriteResponse{})
	if got := s.xattr("file", "user.DosStream.Zone:$DATA"); got != "\x00\x00text\x00" {
		t.Errorf("on disk: %q", got)
	}
	var r smb2.ReadResponse
	p.do(smb2.Read, &smb2.ReadRequest{FileID: id, Length: 100, Offset: 1}, &r)
	if string(r.Data) != "\x00text" {
		t.Errorf("READ: %q", r.Data)
	}
	p.do(smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileEndOfFile), FileID: id,
		Buffer: (&fscc.FileEndOfFileInformation{EndOfFile: 3}).Append(nil)}, &smb2.SetInfoResponse{})
	if got := p.streams(id); got != "::$DATA=0 :Zone:$DATA=3" {
		t.Errorf("streams: %s", got)
	}
	var all fscc.FileAllInformation
	if err := all.Parse(p.info(id, fscc.FileAll)); err != nil || all.Standard.EndOfFile != 3 || all.Name.FileName != `\file:Zone` {
		t.Errorf("FileAllInformation: %+v, %v", all, err)
	}
	p.fails(ntstatus.DiskFull, smb2.Write, &smb2.WriteRequest{FileID: id, Offset: 1 << 16, Data: []byte("x")})
	p.close(id)

	p.fails(ntstatus.ObjectNameCollision, smb2.Create, opening("file:ZONE:$data", smb2.FileCreate))
	p.close(p.open(opening("file:zONE", smb2.FileOverwrite)))
	if got := s.xattr("file", "user.DosStream.Zone:$DATA"); got != "\x00" {
		t.Errorf("overwritten: %q", got)
	}
	q := opening("file:zone", smb2.FileOpen)
	q.CreateOptions = smb2.FileDeleteOnClose
	p.close(p.open(q))
	if got := s.xattr("file", "user.DosStream.Zone:$DATA"); got != "-" {
		t.Errorf("deleted: %q", got)
	}
	if _, err := os.Stat(s.dir + "/file"); err != nil {
		t.Error(err)
	}
}

// A colon in a stream's stored name is the character for it to clients.
func TestColonInStream(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	os.WriteFile(s.dir+"/file", nil, 0o644)
	if err := unix.Setxattr(s.dir+"/file", "user.DosStream.a:b:$DATA", []byte("text\x00"), 0); err != nil {
		t.Fatal(err)
	}
	id := p.open(opening("file:A\uf022b", smb2.FileOpen))
	if got := p.streams(id); got != "::$DATA=0 :a\uf022b:$DATA=4" {
		t.Errorf("streams: %s", got)
	}
	p.close(id)
}

// A file that is overwritten loses its streams.
func TestOverwrittenFileLosesStreams(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	p.close(p.open(opening("file:a", smb2.FileCreate)))
	p.close(p.open(opening("file", smb2.FileOverwrite)))
	if got := s.xattr("file", "user.DosStream.a:$DATA"); got != "-" {
		t.Errorf("%q", got)
	}
}

// A stream is a file of its own at the counter, and holds the file that it belongs to.
func TestStreamAtTheCounter(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	q := opening("file:a", smb2.FileCreate)
	q.ShareAccess = smb2.FileShareRead
	a, b, file := p.open(q), p.open(opening("file:b", smb2.FileCreate)), p.open(opening("file", smb2.FileOpen))
	again := p.open(opening("file:A", smb2.FileOpen))
	var got []string
	byPath := map[string]lock.Key{}
	s.counter.mu.Lock()
	for _, o := range s.counter.opens {
		byPath[o.Path] = o.Key
		if o.Access == lock.Stream {
			got = append(got, fmt.Sprint(o.Key == byPath["file"], o.Share))
		}
	}
	s.counter.mu.Unlock()
	if len(got) != 3 || len(byPath) != 4 && len(byPath) != 3 {
		t.Errorf("holds %v, paths %v", got, byPath)
	}
	if k := byPath["file"]; k == byPath["file:a"] || k == byPath["file:b"] || byPath["file:a"] == byPath["file:b"] || k.Ino != byPath["file:a"].Ino {
		t.Errorf("keys: %v", byPath)
	}
	for _, id := range []smb2.FileID{a, b, file, again} {
		p.close(id)
	}
	if n := len(s.streams.by); n != 0 {
		t.Errorf("%d files have open streams", n)
	}
}

// An open stream is renamed, and is the same stream under its new name. [MS-FSA] 2.1.5.15.11.1.
func TestStreamRename(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	p.close(p.open(opening("file:empty", smb2.FileCreate)))
	full := p.open(opening("file:full", smb2.FileCreate))
	p.do(smb2.Write, &smb2.WriteRequest{FileID: full, Data: []byte("x")}, &smb2.WriteResponse{})
	p.close(full)
	id := p.open(opening("file:a", smb2.FileCreate))
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Data: []byte("text")}, &smb2.WriteResponse{})
	to := func(name string, replace uint32) *smb2.SetInfoRequest {
		return &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileRename), FileID: id,
			Buffer: (&fscc.FileRenameInformation{FileName: name, Flags: replace}).Append(nil)}
	}
	p.fails(ntstatus.ObjectNameCollision, smb2.SetInfo, to(":Empty", 0))
	p.fails(ntstatus.InvalidParameter, smb2.SetInfo, to(":full:$DATA", 1))
	p.fails(ntstatus.SharingViolation, smb2.SetInfo, to("file:b", 1))
	p.do(smb2.SetInfo, to(":A", 0), &smb2.SetInfoResponse{})
	p.do(smb2.SetInfo, to(":empty", 1), &smb2.SetInfoResponse{})
	p.do(smb2.Write, &smb2.WriteRequest{FileID: id, Offset: 4, Data: []byte("!")}, &smb2.WriteResponse{})
	if got := s.xattr("file", "user.DosStream.empty:$DATA"); got != "text!\x00" {
		t.Errorf("%q", got)
	}
	if got := p.streams(id); got != "::$DATA=0 :empty:$DATA=5 :full:$DATA=1" {
		t.Errorf("streams: %s", got)
	}
	p.close(id)
}

// Who watches the directory hears of streams when asking for streams. [MS-FSCC] 2.7.1.
func TestStreamNotify(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/a:b", nil, 0o644)
	p := s.dial(t, smb2.Dialect311).logon()
	q := opening("", smb2.FileOpen)
	q.CreateOptions, q.DesiredAccess = smb2.FileDirectoryFile, smb2.FileGenericRead
	dir := p.open(q)
	watch := &smb2.ChangeNotifyRequest{OutputBufferLength: 1000, FileID: dir, CompletionFilter: smb2.NotifyChangeStreamName}
	if h, _ := p.ask(smb2.ChangeNotify, watch); h.Status != ntstatus.Pending {
		t.Fatalf("%v", h.Status)
	}
	p.send(p.message(smb2.Create, opening("a\uf022b:s", smb2.FileOpenIf), 0))
	for range 2 { // in either order
		if h, msg := p.receive(); h.Command == smb2.ChangeNotify {
			var a smb2.ChangeNotifyResponse
			n := fscc.NewNotify(1000)
			n.Add(fscc.FileActionAddedStream, "a\uf022b:s:$DATA")
			if err := a.Parse(msg); err != nil || !bytes.Equal(a.Buffer, n.Bytes()) {
				t.Errorf("told % x, want % x, %v", a.Buffer, n.Bytes(), err)
			}
		}
	}
	p.nc.SetDeadline(time.Now().Add(10 * time.Second))
}

// A share without streams refuses their names.
func TestNoStreams(t *testing.T) {
	s := serve(t, func(c *config.Config) { c.Exports[0].NoStreams = true })
	p := s.dial(t, smb2.Dialect311).logon()
	for _, name := range []string{"file:a", "file::$DATA", "file:a:$DATA"} {
		p.fails(ntstatus.ObjectNameInvalid, smb2.Create, opening(name, smb2.FileOpenIf))
	}
}

func TestCutStream(t *testing.T) {
	for path, want := range map[string]string{
		"a": "a", `d\a`: `d\a`, "a::$DATA": "a|", `d\a::$data`: `d\a|`, "a:b": "a|b", `d\a:b:$Data`: `d\a|b`, ":b": "|b", "a:b*?\n": "a|b*?\n",
		"a:": "-", "a:b:": "-", "a:b:$FOO": "-", "a::": "-", "a:b:c:d": "-", "a:b/c": "-", "a:\x00": "-",
		"a:" + strings.Repeat("x", maxStreamName): "a|" + strings.Repeat("x", maxStreamName), "a:" + strings.Repeat("x", maxStreamName+1): "-",
	} {
		file, s, err := cutStream(path)
		got := file
		if s.given {
			got += "|" + s.name
		}
		if err != nil {
			got = "-"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func FuzzCutStream(g *testing.F) {
	f := fuzz.On(g)
	for _, s := range []string{"a", `d\a:b:$DATA`, "a::$DATA", ":x", "a:b:", `a:b\c`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		file, s, err := cutStream(path)
		if err != nil {
			return
		}
		if last := file[strings.LastIndexByte(file, '\\')+1:]; strings.Contains(last, ":") || strings.ContainsAny(s.name, ":/\\\x00") {
			t.Fatalf("%q: %q %q", path, file, s.name)
		}
		if !s.given && file != path || s.given && !strings.HasPrefix(path, file+":") {
			t.Fatalf("%q: %q %v", path, file, s)
		}
	})
}

func TestShortName(t *testing.T) {
	for name, want := range map[string]bool{"f": true, "FILE0001.TXT": true, "a.b": true, "a.": false, ".a": false, "123456789": false, "a.text": false, "a b": false, "a.b.c": false, "ä": false, "": false} {
		if isShortName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
