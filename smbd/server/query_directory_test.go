package server

import (
	"os"
	"reflect"
	"testing"

	"dittofs/gateway/config"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// listed asks once for names; a status that is an error is the only element.
func (p *peer) listed(id smb2.FileID, pattern string, flags smb2.QueryDirectoryFlags) (names []string) {
	p.t.Helper()
	h, msg := p.ask(smb2.QueryDirectory, &smb2.QueryDirectoryRequest{FileInformationClass: uint8(fscc.FileNames), Flags: flags, FileID: id,
		FileName: pattern, OutputBufferLength: 4096})
	if h.Status != 0 {
		return []string{h.Status.String()}
	}
	var a smb2.QueryDirectoryResponse
	if err := a.Parse(msg); err != nil {
		p.t.Fatal(err)
	}
	entries, err := fscc.ParseDirectory(fscc.FileNames, a.Buffer)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.FileName)
	}
	return names
}

func (p *peer) rootDirectory() smb2.FileID {
	p.t.Helper()
	q := opening("", smb2.FileOpen)
	q.DesiredAccess, q.CreateOptions = smb2.FileGenericRead, smb2.FileDirectoryFile
	var a smb2.CreateResponse
	p.do(smb2.Create, q, &a)
	return a.FileID
}

// A pattern that is one name finds it in any case and as the disk has it, once. [MS-FSA] 2.1.5.6.3.
func TestQueryDirectoryForOneName(t *testing.T) {
	s := serve(t, nil)
	for _, n := range []string{"File", "a:b"} {
		if err := os.WriteFile(s.dir+"/"+n, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := s.dial(t, smb2.Dialect311).logon()
	id := p.rootDirectory()
	noFile, noMore := []string{ntstatus.NoSuchFile.String()}, []string{ntstatus.NoMoreFiles.String()}
	for _, c := range []struct {
		pattern string
		want    []string
	}{{"File", []string{"File"}}, {"FILE", []string{"File"}}, {"a\uf022b", []string{"a\uf022b"}}, {"none", noFile}, {"fil", noFile}, {".", []string{"."}}} {
		if got := p.listed(id, c.pattern, smb2.RestartScans); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %q, want %q", c.pattern, got, c.want)
		}
		if got := p.listed(id, c.pattern, 0); !reflect.DeepEqual(got, noMore) {
			t.Errorf("%q again: %q", c.pattern, got)
		}
	}
	if got := p.listed(id, ".", smb2.RestartScans|smb2.ReturnSingleEntry); !reflect.DeepEqual(got, []string{"."}) {
		t.Errorf("%q", got)
	}
	if got := p.listed(id, ".", 0); !reflect.DeepEqual(got, noMore) {
		t.Errorf("%q", got)
	}
}

// A share that hides what cannot be read hides it from listings.
func TestHideUnreadable(t *testing.T) {
	s := serve(t, func(c *config.Config) { c.Exports[0].HideUnreadable = true })
	os.Chmod(s.dir, 0o755)
	p := s.dial(t, smb2.Dialect311).logon()
	s.Server.mu.Lock()
	session := s.sessions[p.h.SessionID]
	s.Server.mu.Unlock()
	me := *session.identity.Load()
	me.cred.UID, me.cred.GID = 1000, 1000
	session.identity.Store(&me)
	alice := dtyp.UnixUser(1000)
	for name, mask := range map[string]uint32{"read": uint32(smb2.FileGenericRead), "write": uint32(smb2.FileGenericWrite | smb2.FileReadData)} {
		f, err := os.Create(s.dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		d := dtyp.SecurityDescriptor{Control: dtyp.DACLPresent, DACL: &dtyp.ACL{Revision: dtyp.ACLRevision, ACEs: []dtyp.ACE{{SID: alice, Mask: mask}}}}
		if err := asUser(0, 0).setSecurity(f, d.Append(nil), smb2.DACLSecurityInformation); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	os.WriteFile(s.dir+"/public", nil, 0o644)
	os.WriteFile(s.dir+"/private", nil, 0o600)
	id := p.rootDirectory()
	seen := map[string]bool{}
	for _, n := range p.listed(id, "*", smb2.RestartScans) {
		seen[n] = true
	}
	if want := map[string]bool{".": true, "..": true, "read": true, "public": true}; !reflect.DeepEqual(seen, want) {
		t.Errorf("%v, want %v", seen, want)
	}
	if got := p.listed(id, "private", smb2.RestartScans); !reflect.DeepEqual(got, []string{ntstatus.NoSuchFile.String()}) {
		t.Errorf("by name: %q", got)
	}
}
