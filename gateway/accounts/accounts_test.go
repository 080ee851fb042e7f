package accounts

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "smb-users")
	s := Store(path)
	for _, bad := range []string{"", "a:b", "a\nb", " a", `dom\a`} {
		if err := s.Add(bad, "pw", 1, 2); err == nil {
			t.Errorf("Add(%q) was taken", bad)
		}
	}
	if err := s.Add("Alice", "Password", 1000, 100); err != nil {
		t.Fatal(err)
	}
	c := NewCache(s)
	u, ok, err := c.Lookup("aLICE")
	// [MS-NLMP] 4.2.2.1.2: NTOWFv1 of "Password".
	if !ok || err != nil || hex.EncodeToString(u.NTHash[:]) != "a4f49c406510bdcab6824ee7c30fd852" || u.UID != 1000 || u.GID != 100 {
		t.Errorf("Lookup: %+v %v %v", u, ok, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: want 0600", fi.Mode(), err)
	}
	if err := s.Add("bob", "x", 1, 1); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Lookup("bob"); !ok {
		t.Error("a user who was added later is not seen")
	}
	if err := s.Remove("ALICE"); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Lookup("alice"); ok {
		t.Error("a user who was removed is still let in")
	}
	if err := s.Remove("nobody"); !errors.Is(err, ErrNone) {
		t.Errorf("Remove of nobody: %v", err)
	}
	os.WriteFile(path, []byte("alice:1:1\n"), 0o600)
	if _, ok, err := c.Lookup("alice"); ok || err == nil {
		t.Errorf("a damaged file: %v %v", ok, err)
	}
}
