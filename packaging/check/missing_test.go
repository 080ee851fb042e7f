package check

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
	g.says(t, "status", two, "not mounted, so not served: "+two+": no such file or directory")
	write(t, two, "a file")
	g.says(t, "status", two, "not mounted, so not served: "+two+": not a directory")
	os.Remove(two)
	if err := os.Mkdir(two, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(two, "f"), "two")
	os.Chmod(filepath.Join(two, "f"), 0o666)
	opens("two")
	opens("share")
	g.says(t, "status", two, "  mounted")
}

// Where no export is there, fusefs ends, and what it could not mount is known nevertheless, until it can. A symbolic link leads to the mount that it left.
func TestNoExportIsThere(t *testing.T) {
	base := filepath.Dir(tree(t))
	link, state := filepath.Join(base, "link"), filepath.Join(base, "state")
	if err := os.Symlink("share", link); err != nil {
		t.Fatal(err)
	}
	os.MkdirAll(state, 0o700)
	conf := filepath.Join(state, "gateway.toml")
	write(t, conf, fmt.Sprintf("state = %q\nrun = %q\nlisten = \"127.0.0.1\"\n[[export]]\npath = %q\nname = \"share\"\n", state, state+"/run", link))
	g := upWith(t, filepath.Join(base, "share"), state, "up", "--config", conf, "--user", smbUser)
	os.Remove(link)
	syscall.Kill(g.pid("fusefs"), syscall.SIGKILL)
	g.says(t, "status", link, "not mounted, so not served: "+link+": no such file or directory")
	os.Symlink("share", link)
	g.says(t, "status", link, "  mounted")
}

// says waits until a command prints a line with both words.
func (g *gateway) says(t *testing.T, command string, words ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out := g.dittofs(command)
		for line := range strings.Lines(out) {
			if all := !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }); all {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("dittofs %s does not say %q:\n%s", command, words, out)
		}
	}
}
