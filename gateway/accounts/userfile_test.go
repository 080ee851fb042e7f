package accounts

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestUserFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), UserFileName)
	f, err := LoadUsers(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Lookup("alice"); ok {
		t.Error("somebody is in a file that is not there")
	}
	admin := Store(path, nil) // another process
	for _, err := range []error{admin.Add("Zoë", "pässwörd", 1001, 100), admin.Add("alice", "one", 1000, 1000), admin.Add("ALICE", "two", 1002, 1002)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	zoe := User{Name: "Zoë", NTHash: NTHash("pässwörd"), UID: 1001, GID: 100}
	alice := User{Name: "ALICE", NTHash: NTHash("two"), UID: 1002, GID: 1002}
	if got, err := f.List(); err != nil || !reflect.DeepEqual(got, []User{alice, zoe}) {
		t.Errorf("%+v, %v", got, err)
	}
	if u, ok := f.Lookup("zOË"); !ok || !reflect.DeepEqual(u, zoe) {
		t.Errorf("%+v %v", u, ok)
	}
	if err := admin.Remove("Alice"); err != nil {
		t.Error(err)
	}
	if _, ok := f.Lookup("alice"); ok {
		t.Error("a user who was removed is still found")
	}
	if err := admin.Remove("alice"); err == nil {
		t.Error("nobody is removed without an error")
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	want := "# SMB users of DittoFS Gateway: name:uid:gid:nthash. See dittofs user.\nZoë:1001:100:" + hex.EncodeToString(zoe.NTHash[:]) + "\n"
	if b, _ := os.ReadFile(path); string(b) != want {
		t.Errorf("%q", b)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestUserNames(t *testing.T) {
	f := Store(filepath.Join(t.TempDir(), UserFileName), nil)
	for _, name := range []string{"", "a:b", "a\nb", "a\\b", " a", "#a", "\xff", strings.Repeat("a", 257)} {
		if err := f.Add(name, "p", 1, 1); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	for _, err := range []error{f.Add("a", "", 1, 1), f.Add("a", "\xff", 1, 1), f.Add("a", "p", ^uint32(0), 1), f.Add("a", "p", 1, ^uint32(0))} {
		if err == nil {
			t.Error("accepted")
		}
	}
	if err := f.Add("a b.c-d@e", "p", 0, 0); err != nil {
		t.Error(err)
	}
}

// A file that cannot be understood, or that others can read, lets nobody in, and says so once.
func TestBadUserFile(t *testing.T) {
	const hash = "a4f49c406510bdcab6824ee7c30fd852"
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{"a:1:1:" + hash + "\nb:1:1\n", 0o600, ":2: want name:uid:gid:nthash"},
		{"a:-1:1:" + hash, 0o600, `:1: user "a": "-1" is no uid`},
		{"a:1:4294967295:" + hash, 0o600, `:1: user "a": "4294967295" is no gid`},
		{"a:1:1:" + hash[1:], 0o600, `:1: user "a": the NT hash is not 32 hexadecimal digits`},
		{"a:1:1:" + hash + "\nA:2:2:" + hash, 0o600, `:2: user "A" stands there twice`},
		{"a:1:1:" + hash, 0o640, ": mode 0640: others can read the password hashes; chmod 600 it"},
	} {
		path := filepath.Join(t.TempDir(), UserFileName)
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadUsers(path, nil)
		if err == nil || err.Error() != path+c.want {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
		var log bytes.Buffer
		f := Store(path, slog.New(slog.NewTextHandler(&log, nil)))
		for range 3 {
			if _, ok := f.Lookup("a"); ok {
				t.Errorf("%q: lets somebody in", c.text)
			}
		}
		if strings.Count(log.String(), "\n") != 1 || strings.Contains(log.String(), hash) {
			t.Errorf("%q: log %q", c.text, &log)
		}
		if err := f.Add("z", "p", 1, 1); err == nil {
			t.Errorf("%q: overwritten", c.text)
		}
	}
}

// Several processes and a reader at once lose nobody.
func TestUserFileTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), UserFileName)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			f := Store(path, nil)
			for j := range 3 {
				if err := f.Add(string(rune('a'+i*3+j)), "p", 1, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if users, err := Store(path, nil).List(); err != nil || len(users) != 12 {
		t.Errorf("%d users, %v", len(users), err)
	}
}

// A change is seen even where size and clock tick are the same: it is another inode.
func TestUserFileSameTick(t *testing.T) {
	path := filepath.Join(t.TempDir(), UserFileName)
	f := Store(path, nil)
	tick := time.Unix(1700000000, 0)
	for _, p := range []string{"one", "two"} {
		if err := f.Add("a", p, 1, 1); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, tick, tick); err != nil {
			t.Fatal(err)
		}
		if u, _ := f.Lookup("a"); u.NTHash != NTHash(p) {
			t.Errorf("%s: %x", p, u.NTHash)
		}
	}
}
