package lockdb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"dittofs/gateway/internal/lockdb"
)

func openLog(t testing.TB, path string, s lockdb.Store) *lockdb.Log {
	t.Helper()
	l, err := lockdb.OpenLog(path, s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// contents are a store's keys and values, in the order in which it tells them.
func contents(t testing.TB, s lockdb.Store) (all []string) {
	t.Helper()
	if err := s.Each(func(k, v []byte) error { all = append(all, fmt.Sprintf("%s=%s", k, v)); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// commit writes each word as a batch: "k=v" puts, "k" deletes.
func commit(t testing.TB, s lockdb.Store, words ...string) {
	t.Helper()
	for _, w := range words {
		kv := lockdb.KV{Key: []byte(w[:1])}
		if len(w) > 1 {
			kv.Value = []byte(w[2:])
		}
		if err := s.Commit([]lockdb.KV{kv}); err != nil {
			t.Fatal(err)
		}
	}
}

// What was committed is read back after a kill, whether or not the store behind had it, and the store behind gets it with the next commit.
func TestLogAfterKill(t *testing.T) {
	behind, path := newDisk(), filepath.Join(t.TempDir(), "told")
	l := openLog(t, path, behind)
	contents(t, l)
	commit(t, l, "p=1", "q=1", "r=1", "q")
	if got := contents(t, behind); got != nil {
		t.Errorf("before a sync the store behind has %q", got)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	commit(t, l, "p=2", "s=1", "r")
	want := []string{"p=2", "s=1"}
	for range 2 { // a reader changes nothing
		l = openLog(t, path, behind)
		if got := contents(t, l); !reflect.DeepEqual(got, want) {
			t.Errorf("after a kill: %q, want %q", got, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l = openLog(t, path, behind)
	contents(t, l)
	commit(t, l, "t=1")
	if got, want := contents(t, behind)[1:], []string{"p=2", "s=1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("behind the first commit: %q, want %q", got, want)
	}
	l = openLog(t, path, behind)
	if got, want := contents(t, l), []string{"p=2", "s=1", "t=1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("after a kill again: %q, want %q", got, want)
	}
}

// A host that crashed may have any moment of the file beside any moment of the store behind: what does not follow on it is old.
func TestLogAfterCrash(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "told")
	keep := func(name string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(dir, name), b)
	}
	behind := newDisk()
	l := openLog(t, path, behind)
	contents(t, l)
	commit(t, l, "p=1", "q=1")
	keep("early")
	empty := behind.crashed(0)
	l.Sync()
	half := behind.crashed(0)
	commit(t, l, "p=2", "r=1")
	keep("late")
	l.Sync()
	whole := behind.crashed(0)
	commit(t, l, "p=3")
	l.Sync()
	commit(t, l, "p=4")
	keep("last")
	for _, c := range []struct {
		file   string
		behind *disk
		want   []string
	}{
		{"early", empty, []string{"p=1", "q=1"}},
		{"late", empty, []string{"p=2", "q=1", "r=1"}},
		{"early", half, []string{"p=1", "q=1"}},
		{"late", half, []string{"p=2", "q=1", "r=1"}},
		{"early", whole, []string{"p=2", "q=1", "r=1"}},
		{"late", whole, []string{"p=2", "q=1", "r=1"}},
		{"last", whole, []string{"p=4", "q=1", "r=1"}},
		{"last", half, []string{"p=1", "q=1"}}, // what follows is lost
	} {
		to := filepath.Join(t.TempDir(), "told")
		b, _ := os.ReadFile(filepath.Join(dir, c.file))
		rewrite(t, to, b)
		after := c.behind.crashed(0)
		l := openLog(t, to, after)
		if got := contents(t, l); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.file, got, c.want)
		}
		// And what is committed now follows on it, whatever stood in the file.
		commit(t, l, "z=1")
		l = openLog(t, to, after)
		if got, want := contents(t, l), append(c.want, "z=1"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s, and a kill: %q, want %q", c.file, got, want)
		}
	}
}

// The file stays as it is, however much is committed between two syncs.
func TestLogIsBounded(t *testing.T) {
	behind, path := newDisk(), filepath.Join(t.TempDir(), "told")
	l := openLog(t, path, behind)
	contents(t, l)
	big := string(make([]byte, 100<<10))
	for n := range 64 {
		commit(t, l, "q="+big)
		if err := l.Commit([]lockdb.KV{{Key: fmt.Appendf(nil, "p%d", n), Value: []byte("1")}}); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 2<<20 {
		t.Errorf("%v, %d bytes", err, st.Size())
	}
	l = openLog(t, path, behind)
	got := contents(t, l)
	if len(got) != 64+1 || got[64] != "q="+big {
		t.Errorf("%d keys", len(got))
	}
}
