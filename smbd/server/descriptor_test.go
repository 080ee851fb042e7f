package server

import (
	"os"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/gateway/fuzz"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/smb2"
)

// as is a session of a user, for what needs no connection.
func asUser(uid, gid uint32, groups ...uint32) *session {
	s := &session{}
	s.identity.Store(&identity{cred: export.Cred{UID: uid, GID: gid, Groups: groups}})
	return s
}

func aFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func shown(t *testing.T, f *os.File) *dtyp.SecurityDescriptor {
	t.Helper()
	i, err := statFile(f, "file")
	if err != nil {
		t.Fatal(err)
	}
	return descriptor(f, i)
}

// What mode and ACL say, set as a descriptor, gives the same mode and ACL, and nothing needs to be kept.
func TestModeAsDescriptor(t *testing.T) {
	f := aFile(t)
	root := asUser(0, 0)
	acl := export.ACL{{Tag: export.ACLOwner, Perm: 6}, {Tag: export.ACLUser, Perm: 4, ID: 1001}, {Tag: export.ACLGroupObj, Perm: 0},
		{Tag: export.ACLGroup, Perm: 7, ID: 50}, {Tag: export.ACLMask, Perm: 7}, {Tag: export.ACLOther, Perm: 1}}
	for n, mode := range []os.FileMode{0o000, 0o644, 0o755, 0o640, 0o421, 0o777, 0o077, 0o007, 0} {
		if err := f.Chmod(mode); err != nil {
			t.Fatal(err)
		}
		if n == 8 {
			if err := export.SetXattr(int(f.Fd()), export.AccessACL, acl.Append(nil), 0); err != nil {
				t.Fatal(err)
			}
		}
		want := shown(t, f)
		before, _ := f.Stat()
		removeXattr(f, export.AccessACL)
		f.Chmod(0o111)
		if err := root.setSecurity(f, want.Append(nil), allSecurity); err != nil {
			t.Errorf("%o: %v", mode, err)
		}
		if st, _ := f.Stat(); st.Mode() != before.Mode() {
			t.Errorf("%v became %v", before.Mode(), st.Mode())
		}
		if got := shown(t, f); !reflect.DeepEqual(got, want) || xattr(f, keptDescriptor) != nil {
			t.Errorf("%o: got %+v, want %+v", mode, got.DACL, want.DACL)
		}
	}
	if err := root.setSecurity(f, []byte("noise"), allSecurity); err == nil {
		t.Error("noise was taken for a descriptor")
	}
}

// A descriptor that no mode expresses is kept as it is, decides, and ends when another door changes the mode.
func TestKeptDescriptor(t *testing.T) {
	f := aFile(t)
	f.Chown(1000, 100)
	alice, bob := dtyp.UnixUser(1000), dtyp.UnixUser(1001)
	group := dtyp.UnixGroup(100)
	give := &dtyp.SecurityDescriptor{Control: dtyp.DACLPresent | dtyp.DACLProtected | dtyp.DACLAutoInherited, DACL: &dtyp.ACL{Revision: dtyp.ACLRevision, ACEs: []dtyp.ACE{
		{Type: dtyp.AccessDenied, SID: bob, Mask: uint32(smb2.FileWriteData)},
		{Type: dtyp.AccessAllowed, SID: alice, Mask: uint32(smb2.GenericRead)},
		{Type: dtyp.AccessAllowed, SID: dtyp.AuthenticatedUsers, Mask: uint32(smb2.FileWriteData | smb2.FileExecute)},
	}}}
	a := asUser(1000, 100)
	if err := a.setSecurity(f, give.Append(nil), smb2.DACLSecurityInformation); err != nil {
		t.Fatal(err)
	}
	want := &dtyp.SecurityDescriptor{Control: dtyp.SelfRelative | dtyp.DACLPresent | dtyp.DACLProtected, Owner: &alice, Group: &group, DACL: give.DACL}
	want.DACL.ACEs[1].Mask = uint32(smb2.FileGenericRead)
	if got := shown(t, f); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Owner 1000 may read, write and execute, bob execute, everybody else write and execute.
	acl := export.ACL{{Tag: export.ACLOwner, Perm: 7}, {Tag: export.ACLUser, Perm: 1, ID: 1001}, {Tag: export.ACLGroupObj, Perm: 3}, {Tag: export.ACLMask, Perm: 3}, {Tag: export.ACLOther, Perm: 3}}
	if got, err := export.ParseACL(xattr(f, export.AccessACL)); err != nil || !reflect.DeepEqual(got, acl) {
		t.Errorf("ACL %v, %v", got, err)
	}
	for uid, want := range map[uint32]smb2.AccessMask{
		1000: smb2.FileGenericRead | smb2.FileWriteData | smb2.FileExecute | smb2.WriteDAC,
		1001: smb2.FileReadAttributes | smb2.FileExecute,
		1002: smb2.FileReadAttributes | smb2.FileExecute | smb2.FileWriteData,
	} {
		if v := asUser(uid, 7).judge(f, nil); v == nil || *v != want {
			t.Errorf("user %d: %#x, want %#x", uid, v, want)
		}
	}
	if v := asUser(0, 0).judge(f, nil); v != nil {
		t.Error("user 0 is judged")
	}
	// READONLY is the attribute's, and takes the mode's write permission and gives it back.
	if err := setAttributes(f, "file", smb2.FileAttributeReadonly, 0); err != nil {
		t.Fatal(err)
	}
	st, _ := f.Stat()
	if got := shown(t, f); !reflect.DeepEqual(got, want) || st.Mode().Perm()&0o222 != 0 {
		t.Errorf("read-only: %+v, %v", got, st.Mode())
	}
	if err := setAttributes(f, "file", smb2.FileAttributeArchive, 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := export.ParseACL(xattr(f, export.AccessACL)); !reflect.DeepEqual(got, acl) {
		t.Errorf("read-only and back: %v", got)
	}
	// chmod through another door.
	f.Chmod(0o640)
	if got := shown(t, f); len(got.DACL.ACEs) == 3 && got.DACL.ACEs[0].Type == dtyp.AccessDenied && got.DACL.ACEs[0].Mask == uint32(smb2.FileWriteData) {
		t.Errorf("still %+v", got)
	}
	if v := a.judge(f, nil); v != nil {
		t.Error("an outdated descriptor judges")
	}
}

// Nobody gives a file away, or to a group that is not his.
func TestOwner(t *testing.T) {
	f := aFile(t)
	f.Chown(1000, 100)
	set := func(s *session, owner, group *dtyp.SID) error {
		d := dtyp.SecurityDescriptor{Owner: owner, Group: group}
		return s.setSecurity(f, d.Append(nil), smb2.OwnerSecurityInformation|smb2.GroupSecurityInformation)
	}
	bob, theirs, mine := dtyp.UnixUser(1001), dtyp.UnixGroup(200), dtyp.UnixGroup(101)
	a := asUser(1000, 100, 101)
	for _, c := range []struct {
		s            *session
		owner, group *dtyp.SID
		want         string
	}{
		{a, &bob, nil, "STATUS_INVALID_OWNER"}, {a, nil, &theirs, "STATUS_INVALID_PRIMARY_GROUP"}, {a, nil, &mine, ""},
		{asUser(1001, 1), &bob, nil, ""}, {asUser(0, 0), nil, &theirs, ""},
	} {
		got := ""
		if err := set(c.s, c.owner, c.group); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v %v: %q, want %q", c.owner, c.group, got, c.want)
		}
	}
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st); st.Uid != 1001 || st.Gid != 200 {
		t.Errorf("%d:%d", st.Uid, st.Gid)
	}
}

// A directory's inheritable entries are the default ACL for the other doors, and the descriptor of what SMB makes in it.
func TestInheritedDescriptor(t *testing.T) {
	path := t.TempDir()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	staff := dtyp.UnixGroup(50)
	d := dtyp.SecurityDescriptor{Control: dtyp.DACLPresent, DACL: &dtyp.ACL{Revision: dtyp.ACLRevision, ACEs: []dtyp.ACE{
		{Type: dtyp.AccessAllowed, SID: dtyp.CreatorOwner, Mask: uint32(smb2.FileAllAccess), Flags: dtyp.ObjectInherit | dtyp.ContainerInherit | dtyp.InheritOnly},
		{Type: dtyp.AccessAllowed, SID: staff, Mask: uint32(smb2.FileGenericRead), Flags: dtyp.ObjectInherit | dtyp.ContainerInherit},
	}}}
	if err := asUser(0, 0).setSecurity(dir, d.Append(nil), smb2.DACLSecurityInformation); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path + "/local")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := export.ACL{{Tag: export.ACLOwner, Perm: 6}, {Tag: export.ACLGroupObj, Perm: 0}, {Tag: export.ACLGroup, Perm: 5, ID: 50},
		{Tag: export.ACLMask, Perm: 4}, {Tag: export.ACLOther, Perm: 0}}
	if got, err := export.ParseACL(xattr(f, export.AccessACL)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("made locally: %v, %v", got, err)
	}
	i, _ := statFile(f, "local")
	if err := inherit(f, i, kept(dir, nil)); err != nil {
		t.Fatal(err)
	}
	owner := dtyp.UnixUser(i.uid)
	if got := shown(t, f).DACL.ACEs; !reflect.DeepEqual(got, []dtyp.ACE{{SID: owner, Mask: uint32(smb2.FileAllAccess)}, {SID: staff, Mask: uint32(smb2.FileGenericRead)}}) {
		t.Errorf("made by SMB: %+v", got)
	}
}

func FuzzKeptDescriptor(g *testing.F) {
	f := fuzz.On(g)
	d := dtyp.SecurityDescriptor{Control: dtyp.DACLPresent}
	f.Add(d.Append(nil))
	owner := dtyp.UnixUser(5)
	d = dtyp.SecurityDescriptor{Owner: &owner, DACL: &dtyp.ACL{Revision: dtyp.ACLRevision, ACEs: []dtyp.ACE{{SID: owner, Mask: 3, Flags: dtyp.ContainerInherit}}}}
	f.Add(d.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d dtyp.SecurityDescriptor
		if d.Parse(b) != nil {
			return
		}
		d.DACL.Specific(specific)
		x := express(&d, &info{mode: unix.S_IFDIR | 0o755, uid: 5, gid: 6})
		if l, err := export.ParseACL(x.access.Append(nil)); err != nil || !reflect.DeepEqual(l, x.access) {
			t.Errorf("%v, %v", l, err)
		}
	})
}
