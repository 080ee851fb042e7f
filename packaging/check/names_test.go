package check

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// In a directory large enough for a listing, names in another case are found, also those that other doors make later; and composed and
// decomposed letters are the same name.
func TestNamesInAnyCase(t *testing.T) {
	g := up(t, tree(t))
	dir := filepath.Join(g.Dir, "many")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o777)
	for i := range 400 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("Name%d", i)), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := g.smbclient("get many/NAME7 /dev/null; put /etc/hostname many/ByMe; get MANY/BYME /dev/null"); err != nil {
		t.Fatal(err, out)
	}
	for name, asked := range map[string]string{"Later.txt": "LATER.TXT", "Cafe\u0301": "caf\u00e9"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("y"), 0o644); err != nil {
			t.Fatal(err)
		}
		var out string
		var err error
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			if out, err = g.smbclient("get many/" + asked + " /dev/null"); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%q as %q: %v, %s", name, asked, err, out)
		}
	}
	if err := os.Remove(filepath.Join(dir, "Name9")); err != nil {
		t.Fatal(err)
	}
	if out, err := g.smbclient("get many/NAME9 /dev/null"); err == nil {
		t.Errorf("a removed file was read: %s", out)
	}
}
