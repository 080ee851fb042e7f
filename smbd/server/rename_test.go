package server

import (
	"testing"

	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

func renaming(id smb2.FileID, to string) *smb2.SetInfoRequest {
	return &smb2.SetInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileRename), FileID: id,
		Buffer: (&fscc.FileRenameInformation{FileName: to}).Append(nil)}
}

// A directory that something is open in keeps its name, and a directory is opened to take a name in. [MS-FSA] 2.1.5.15.12.
func TestRenameBesideOpens(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	d := opening("d", smb2.FileCreate)
	d.CreateOptions = smb2.FileDirectoryFile
	var dir, file smb2.CreateResponse
	p.do(smb2.Create, d, &dir)
	p.do(smb2.Create, opening(`d\f`, smb2.FileCreate), &file)
	var broken []lock.AccessRequest
	s.counter.mu.Lock()
	s.counter.onDo = func(r lock.AccessRequest) (lock.Result, bool) {
		if r.Op == lock.OpRename {
			broken = append(broken, r)
		}
		return lock.Result{}, false
	}
	s.counter.mu.Unlock()
	p.fails(ntstatus.AccessDenied, smb2.SetInfo, renaming(dir.FileID, "e"))
	s.counter.mu.Lock()
	if len(broken) != 1 || broken[0].Key.IsZero() { // whoever only caches the handle is asked to let go
		t.Errorf("asked for %+v", broken)
	}
	s.counter.onDo = nil
	s.counter.mu.Unlock()

	var asked lock.OpenRequest
	s.counter.mu.Lock()
	refuse := lock.SharingDenied
	s.counter.onOpen = func(r lock.OpenRequest) (lock.OpenResult, bool) {
		asked = r
		return lock.OpenResult{Outcome: refuse}, refuse != lock.Granted
	}
	s.counter.mu.Unlock()
	p.fails(ntstatus.SharingViolation, smb2.SetInfo, renaming(file.FileID, `d\g`))
	s.counter.mu.Lock()
	if asked.Access != lock.Write || asked.Share != lock.ShareRead|lock.ShareWrite || !asked.Directory {
		t.Errorf("asked for %+v", asked)
	}
	refuse = lock.Granted
	s.counter.mu.Unlock()
	p.do(smb2.SetInfo, renaming(file.FileID, `d\g`), new(smb2.SetInfoResponse))
	p.do(smb2.Close, &smb2.CloseRequest{FileID: file.FileID}, new(smb2.CloseResponse))
	p.do(smb2.SetInfo, renaming(dir.FileID, "e"), new(smb2.SetInfoResponse))
}

func TestSetMode(t *testing.T) {
	o := &open{}
	o.mode.Store(uint32(smb2.FileDeleteOnClose))
	for _, c := range []struct {
		set  smb2.CreateOptions
		want error
	}{{smb2.FileWriteThrough, nil}, {smb2.FileDirectoryFile, ntstatus.InvalidParameter},
		{smb2.FileSynchronousIOAlert | smb2.FileSynchronousIONonalert, ntstatus.InvalidParameter}} {
		if got := o.setMode(c.set); got != c.want {
			t.Errorf("%#x: %v, want %v", c.set, got, c.want)
		}
	}
	if got := smb2.CreateOptions(o.mode.Load()); got != smb2.FileWriteThrough|smb2.FileDeleteOnClose {
		t.Errorf("%#x", got)
	}
}
