package dtyp

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"dittofs/gateway/fuzz"
)

func TestGUID(t *testing.T) {
	const text = "00112233-4455-6677-8899-aabbccddeeff"
	want := GUID{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF}
	got, err := ParseGUID(strings.ToUpper(text))
	if err != nil || got != want || got.String() != text {
		t.Fatalf("%v, %x, %v", got, got[:], err)
	}
	for _, bad := range []string{"", text[1:], strings.ReplaceAll(text, "-", "0"), "g" + text[1:]} {
		if _, err := ParseGUID(bad); err == nil {
			t.Errorf("%q is taken for a GUID", bad)
		}
	}
}

func TestSIDText(t *testing.T) {
	for _, bad := range []string{"", "S-1", "S-2-5-18", "X-1-5", "S-1-5-4294967296", "S-1-281474976710656", "S-1-5--1", "S-1-5" + strings.Repeat("-1", 16)} {
		if s, err := ParseSID(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, s)
		}
	}
	big, err := ParseSID("S-1-0x0123456789ab-7")
	if err != nil || big != NewSID(0x0123456789AB, 7) || strings.ToLower(big.String()) != "s-1-0x0123456789ab-7" {
		t.Errorf("%v, %v", big, err)
	}
	if gid, ok := UnixGroup(100).UnixGID(); !ok || gid != 100 {
		t.Errorf("%d, %v", gid, ok)
	}
	if _, ok := Administrators.UnixUID(); ok {
		t.Error("Administrators is a Unix user")
	}
}

func TestSecurityDescriptor(t *testing.T) {
	owner, group := UnixUser(1000), UnixGroup(100)
	raw := []byte{
		1, 0, 0x04, 0x80, // Revision, Sbz1, Control: self-relative, DACL present
		20, 0, 0, 0, // OffsetOwner
		36, 0, 0, 0, // OffsetGroup
		0, 0, 0, 0, // OffsetSacl
		52, 0, 0, 0, // OffsetDacl
		1, 2, 0, 0, 0, 0, 0, 22, 1, 0, 0, 0, 0xE8, 3, 0, 0, // S-1-22-1-1000
		1, 2, 0, 0, 0, 0, 0, 22, 2, 0, 0, 0, 100, 0, 0, 0, // S-1-22-2-100
		2, 0, 40, 0, 2, 0, 0, 0, // AclRevision, AclSize, AceCount
		0, 0, 20, 0, 0xA9, 0, 0x12, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, // allow Everyone
		9, 3, 12, 0, 1, 2, 3, 4, 5, 6, 7, 8, // a callback ACE, kept raw
	}
	want := SecurityDescriptor{Control: SelfRelative | DACLPresent, Owner: &owner, Group: &group, DACL: &ACL{Revision: ACLRevision, ACEs: []ACE{
		{Type: AccessAllowed, Mask: 0x1200A9, SID: Everyone},
		{Type: 9, Flags: ObjectInherit | ContainerInherit, Raw: []byte{1, 2, 3, 4, 5, 6, 7, 8}}}}}
	if got := want.Append([]byte("xyz"))[3:]; !bytes.Equal(got, raw) {
		t.Fatalf("got  % x\nwant % x", got, raw)
	}
	var got SecurityDescriptor
	if err := got.Parse(raw); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range raw {
		if new(SecurityDescriptor).Parse(raw[:n]) == nil {
			t.Errorf("%d bytes are taken", n)
		}
	}
	for _, x := range []struct {
		rule string
		at   int
		to   byte
	}{
		{"the revision is 1", 0, 2}, {"the form is self-relative", 3, 0}, {"no part lies in the header", 4, 4}, {"no part lies behind the end", 4, 200},
		{"a SID has at most 15 subauthorities", 21, 16}, {"a SID's revision is 1", 20, 2}, {"an ACL's revision is 2 or 4", 52, 3},
		{"an ACL holds its header", 54, 7}, {"the ACEs lie in the ACL", 56, 3}, {"an ACE has 4 bytes or more", 62, 0}, {"an ACE's size is a multiple of 4", 62, 18},
	} {
		b := bytes.Clone(raw)
		b[x.at] = x.to
		if new(SecurityDescriptor).Parse(b) == nil {
			t.Errorf("%s, but it was taken", x.rule)
		}
	}
}

// A DACL that is present and empty denies; one that is present and null grants: both survive.
func TestNullDACL(t *testing.T) {
	for _, want := range []SecurityDescriptor{
		{Control: SelfRelative | DACLPresent},
		{Control: SelfRelative | DACLPresent, DACL: &ACL{Revision: ACLRevision}},
		{Control: SelfRelative},
	} {
		var got SecurityDescriptor
		if err := got.Parse(want.Append(nil)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
}

func FuzzSID(g *testing.F) {
	f := fuzz.On(g)
	f.Add("S-1-5-32-544")
	f.Add("S-1-0xffffffffffff-1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSID(text)
		if err != nil {
			return
		}
		var wire SID
		if err := wire.Parse(s.Append(nil)); err != nil || wire != s || len(s.Append(nil)) != s.Size() {
			t.Fatalf("%q: %v, %v", text, wire, err)
		}
		if again, err := ParseSID(s.String()); err != nil || again != s {
			t.Fatalf("%q: %v, %v", text, again, err)
		}
	})
}

func FuzzGUID(g *testing.F) {
	f := fuzz.On(g)
	f.Add("00112233-4455-6677-8899-aabbccddeeff")
	f.Fuzz(func(t *testing.T, text string) {
		if g, err := ParseGUID(text); err == nil && g.String() != strings.ToLower(text) {
			t.Fatalf("%q: %v", text, g)
		}
	})
}
