package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An export whose directory is not there keeps no other from being served, says why, and is served once the directory is there.
func TestOneExportIsMissing(t *testing.T) {
	one := tree(t)
	write(t, filepath.Join(one, "f"), "one")
	two := filepath.Join(tree(t), "later")
	g := up(t, one)
	g.reload(func(text string) string {
		_, block, _ := strings.Cut(text, "[[export]]")
		return text + "\n[[export]]" + strings.Replace(strings.Replace(block, one, two, 1), "name = 'share'", "name = 'two'", 1)
	})
	g.kill9(t, "fusefs") // the next one finds it missing at its start
	g.logged(t, `export is not mounted, and not served`, "two", "no such file or directory")
	open := args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}
	opens := func(share string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if p, st := g.connect(share); st == "" {
				if p.do("open", open).Status == statusOK {
					return
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not served", share)
			}
		}
	}
	opens("share")
	if err := os.Mkdir(two, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(two, "f"), "two")
	os.Chmod(filepath.Join(two, "f"), 0o666)
	opens("two")
	opens("share")
}
