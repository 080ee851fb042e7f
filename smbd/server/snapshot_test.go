package server

import (
	"bytes"
	"os"
	"testing"
	"time"

	"dittofs/gateway/config"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// A share's earlier states are listed, the newest first, and read by time or token; nothing in them can be changed.
func TestPreviousVersions(t *testing.T) {
	s := serve(t, func(c *config.Config) { c.Exports[0].Snapshots = ".snap/day-%Y.%m.%d-%H.%M.%S" })
	old, older := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC), time.Date(2023, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, text := range map[string]string{".snap/day-2024.03.01-12.00.00/d": "old", ".snap/day-2023.03.01-12.00.00/d": "older", ".snap/other/d": "", "d": "new"} {
		os.MkdirAll(s.dir+"/"+name, 0o755)
		os.WriteFile(s.dir+"/"+name+"/File", []byte(text), 0o644)
	}
	p := s.dial(t, smb2.Dialect311).logon()
	root := opening("", smb2.FileOpen)
	root.DesiredAccess = smb2.FileGenericRead
	dir := p.open(root)
	list := []byte{2, 0, 0, 0, 2, 0, 0, 0, 102, 0, 0, 0}
	for _, at := range []time.Time{old, older} {
		list = wire.AppendZero(wire.AppendUTF16(list, at.Format(gmtToken)), 2)
	}
	list = wire.AppendZero(list, 2)
	for _, c := range []struct {
		room uint32
		want ntstatus.Status
		out  []byte
	}{{1000, 0, list}, {114, 0, list}, {113, 0, []byte{2, 0, 0, 0, 0, 0, 0, 0, 102, 0, 0, 0, 0, 0, 0, 0}}, {15, ntstatus.InvalidParameter, nil}} {
		if st, out := p.control(dir, fscc.FsctlSrvEnumerateSnapshots, nil, c.room); st != c.want || !bytes.Equal(out, c.out) {
			t.Errorf("room %d: %v, % x; want %v, % x", c.room, st, out, c.want, c.out)
		}
	}
	p.close(dir)

	at := func(name string, then time.Time, access smb2.AccessMask, d smb2.CreateDisposition) *smb2.CreateRequest {
		q := opening(name, d)
		q.DesiredAccess = access
		if !then.IsZero() {
			f := wire.FiletimeOf(then)
			q.Contexts.TimeWarp = &f
		}
		return q
	}
	const reads = smb2.FileGenericRead
	for _, c := range []struct {
		name string
		then time.Time
		want string
	}{{`d\file`, old, "old"}, {`d\File`, older, "older"}, {`d\File`, time.Time{}, "new"}, {`@GMT-2024.03.01-12.00.00\d\File`, time.Time{}, "old"}, {`d\@GMT-2023.03.01-12.00.00\File`, time.Time{}, "older"}} {
		id := p.open(at(c.name, c.then, reads, smb2.FileOpen))
		var r smb2.ReadResponse
		p.do(smb2.Read, &smb2.ReadRequest{FileID: id, Length: 100}, &r)
		if string(r.Data) != c.want {
			t.Errorf("%s at %v: %q, want %q", c.name, c.then, r.Data, c.want)
		}
		p.close(id)
	}
	p.fails(ntstatus.ObjectNameNotFound, smb2.Create, at(`d\File`, old.Add(time.Second), reads, smb2.FileOpen))
	p.fails(ntstatus.AccessDenied, smb2.Create, at(`d\File`, old, smb2.FileWriteData, smb2.FileOpen))
	p.fails(ntstatus.AccessDenied, smb2.Create, at(`d\File`, old, smb2.Delete, smb2.FileOpen))
	p.fails(ntstatus.AccessDenied, smb2.Create, at(`d\File`, old, reads, smb2.FileOverwriteIf))
	p.fails(ntstatus.AccessDenied, smb2.Create, at(`d\more`, old, reads, smb2.FileOpenIf))
	id := p.open(at(`d\File`, old, smb2.MaximumAllowed, smb2.FileOpen))
	p.fails(ntstatus.AccessDenied, smb2.Write, &smb2.WriteRequest{FileID: id, Data: []byte("x")})
	p.fails(ntstatus.AccessDenied, smb2.SetInfo, &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileLink), FileID: id,
		Buffer: (&fscc.FileLinkInformation{FileName: "link"}).Append(nil)})
	p.close(id)
}
