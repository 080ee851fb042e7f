package dtyp

import (
	"reflect"
	"testing"
)

func keep(m uint32) uint32 { return m }

var (
	alice, bob, staff = UnixUser(1), UnixUser(2), UnixGroup(3)
)

func allow(s SID, m uint32, f ACEFlags) ACE {
	return ACE{Type: AccessAllowed, SID: s, Mask: m, Flags: f}
}
func deny(s SID, m uint32) ACE { return ACE{Type: AccessDenied, SID: s, Mask: m} }

// The first entry that speaks of a right decides it. [MS-DTYP] 2.5.3.2.
func TestGranted(t *testing.T) {
	for name, c := range map[string]struct {
		aces []ACE
		want uint32
	}{
		"nothing but the owner's own":          {nil, 0x60000},
		"allowed":                              {[]ACE{allow(alice, 3, 0), allow(bob, 8, 0)}, 0x60003},
		"a group":                              {[]ACE{allow(staff, 4, 0), allow(Everyone, 1, 0)}, 0x60005},
		"denied before":                        {[]ACE{deny(staff, 2), allow(alice, 3, 0)}, 0x60001},
		"denied after":                         {[]ACE{allow(alice, 3, 0), deny(staff, 2)}, 0x60003},
		"for children only":                    {[]ACE{allow(alice, 3, InheritOnly|ObjectInherit)}, 0x60000},
		"owner rights take the owner's own":    {[]ACE{allow(OwnerRights, 1, 0)}, 1},
		"owner rights add":                     {[]ACE{allow(alice, 2, 0), allow(OwnerRights, 1, 0)}, 3},
		"owner rights deny":                    {[]ACE{deny(OwnerRights, 1), allow(alice, 3, 0)}, 2},
		"the creator is nobody":                {[]ACE{allow(CreatorOwner, 3, 0)}, 0x60000},
		"other kinds say nothing about access": {[]ACE{{Type: SystemAudit, SID: alice, Mask: 3}, {Type: 9, Raw: []byte{1, 2, 3, 4}}}, 0x60000},
	} {
		d := SecurityDescriptor{Owner: &alice, DACL: &ACL{Revision: ACLRevision, ACEs: c.aces}}
		if got := d.Granted(Token{alice, staff, Everyone}); got != c.want {
			t.Errorf("%s: %#x, want %#x", name, got, c.want)
		}
	}
	open := SecurityDescriptor{Owner: &alice}
	if got := open.Granted(Token{bob}); got != maskAll {
		t.Errorf("no list: %#x", got)
	}
}

// What a child has of its parent's entry, by the entry's flags. [MS-DTYP] 2.5.3.4.1.
func TestInherit(t *testing.T) {
	const oi, ci, np, io = ObjectInherit, ContainerInherit, NoPropagateInherit, InheritOnly
	here := func(f ACEFlags) []ACE { return []ACE{allow(alice, 2, f)} }
	for _, c := range []struct {
		flags     ACEFlags
		file, dir []ACE
	}{
		{0, nil, nil},
		{oi, here(0), []ACE{allow(CreatorOwner, 2, oi|io)}},
		{ci, nil, []ACE{allow(alice, 2, 0), allow(CreatorOwner, 2, ci|io)}},
		{oi | ci, here(0), []ACE{allow(alice, 2, 0), allow(CreatorOwner, 2, oi|ci|io)}},
		{np, nil, nil},
		{np | oi, here(0), nil},
		{np | ci, nil, here(0)},
		{np | oi | ci, here(0), here(0)},
		{io, nil, nil},
		{io | oi, here(0), []ACE{allow(CreatorOwner, 2, oi|io)}},
		{io | ci, nil, []ACE{allow(alice, 2, 0), allow(CreatorOwner, 2, ci|io)}},
		{io | np | ci, nil, here(0)},
	} {
		l := ACL{Revision: ACLRevision, ACEs: []ACE{allow(CreatorOwner, 2, c.flags), allow(Everyone, 1, 0)}}
		for container, want := range map[bool][]ACE{false: c.file, true: c.dir} {
			var got []ACE
			if in := l.Inherit(container, false, alice, staff, keep); in != nil {
				got = in.ACEs
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("flags %#x, container %v: %v, want %v", c.flags, container, got, want)
			}
		}
	}
	// An entry that means the same for the container stands once.
	l := ACL{Revision: ACLRevision, ACEs: []ACE{allow(bob, 2, oi|ci|Inherited), allow(CreatorGroup, 1<<31, oi)}}
	mapped := func(m uint32) uint32 { return m &^ (1 << 31) }
	if got := l.Inherit(true, true, alice, staff, mapped).ACEs; !reflect.DeepEqual(got, []ACE{allow(bob, 2, oi|ci|Inherited), allow(CreatorGroup, 1<<31, oi|io|Inherited)}) {
		t.Errorf("%v", got)
	}
	if got := l.Inherit(false, false, alice, staff, mapped).ACEs; !reflect.DeepEqual(got, []ACE{allow(bob, 2, 0), allow(staff, 0, 0)}) {
		t.Errorf("%v", got)
	}
}
