package accounts

import "testing"

func TestPrincipals(t *testing.T) {
	p := Principals{Realms: func() []string { return []string{"EXAMPLE.ORG"} }}
	if a, ok := p.Account(t.Context(), []string{"root"}, "EXAMPLE.ORG"); !ok || a.Name != "root" || a.UID != 0 || a.GID != 0 {
		t.Errorf("root: %+v, %v", a, ok)
	}
	for _, name := range [][]string{{"root", "server"}, {"0"}, {"0x0"}, {"-s"}, {""}, {"no such user"}, {"no-such-user"}, {"root:x"}} {
		if a, ok := p.Account(t.Context(), name, "EXAMPLE.ORG"); ok {
			t.Errorf("%q is %+v", name, a)
		}
	}
	if _, ok := p.Account(t.Context(), []string{"root"}, "EXAMPLE.COM"); ok {
		t.Error("another realm's root is ours")
	}
	if a, ok := lookupFiles("root"); !ok || a.UID != 0 {
		t.Errorf("root in the files: %+v, %v", a, ok)
	}
}
