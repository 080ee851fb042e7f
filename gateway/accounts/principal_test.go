package accounts

import (
	"os/user"
	"testing"
)

func TestPrincipals(t *testing.T) {
	p := Principals{Realms: func() []string { return []string{"EXAMPLE.ORG"} }}
	if a, ok := p.Account([]string{"root"}, "EXAMPLE.ORG"); !ok || a.Name != "root" || a.UID != 0 || a.GID != 0 {
		t.Errorf("root: %+v, %v", a, ok)
	}
	for _, name := range [][]string{{"root", "server"}, {"0"}, {"0x0"}, {"-s"}, {""}, {"no such user"}, {"no-such-user"}, {"root:x"}} {
		if a, ok := p.Account(name, "EXAMPLE.ORG"); ok {
			t.Errorf("%q is %+v", name, a)
		}
	}
	if _, ok := p.Account([]string{"root"}, "EXAMPLE.COM"); ok {
		t.Error("another realm's root is ours")
	}
	for name, find := range map[string]func() (Account, bool, error){
		"by uid":       func() (Account, bool, error) { return ByID(t.Context(), 0) },
		"in the files": func() (Account, bool, error) { return inFiles("root", user.Lookup) },
	} {
		if a, ok, err := find(); err != nil || !ok || a.Name != "root" || a.UID != 0 {
			t.Errorf("root %s: %+v, %v, %v", name, a, ok, err)
		}
	}
	if a, ok, err := ByID(t.Context(), 4_000_000_000); ok || err != nil {
		t.Errorf("a uid without an account: %+v, %v", a, err)
	}
}

func TestGroups(t *testing.T) {
	if name, ok := GroupName(t.Context(), 0); !ok || name != "root" {
		t.Errorf("group 0: %q, %v", name, ok)
	}
	if gid, ok := GroupID(t.Context(), "root"); !ok || gid != 0 {
		t.Errorf("root's group: %d, %v", gid, ok)
	}
	for _, name := range []string{"no-such-group", "0", "-s"} {
		if gid, ok := GroupID(t.Context(), name); ok {
			t.Errorf("%q is %d", name, gid)
		}
	}
}
