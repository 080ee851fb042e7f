package server

import (
	"fmt"
	"os"
	"testing"
	"time"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
)

func largeDirectory(t testing.TB, n int) (*os.File, lock.Key) {
	t.Helper()
	path := t.TempDir()
	for i := range n {
		if err := os.WriteFile(fmt.Sprintf("%s/Name%d", path, i), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	key, err := export.KeyOf(int(dir.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return dir, key
}

// A listing answers without looking at the directory, and knows what the doors tell.
func TestListing(t *testing.T) {
	dir, key := largeDirectory(t, listingMin)
	l := &listings{by: map[lock.Key]*listing{}}
	search := func(name, want string) {
		t.Helper()
		if got, err := l.search(dir, name); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	search("NAME7", "Name7")
	search("Name7", "") // that is no other name
	if l.names != listingMin || l.by[key] == nil {
		t.Fatalf("%d names", l.names)
	}
	// What no door told is not seen while the listing is young, so that the listing is what answers.
	if err := os.WriteFile(dir.Name()+"/Untold", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	search("UNTOLD", "")
	l.by[key].made = time.Now().Add(-2 * listingAge)
	search("UNTOLD", "Untold")
	l.by[key].made = time.Now().Add(-2 * listingAge) // and the directory's time is the same
	for _, c := range []lock.Change{
		{Dir: key, Name: "New", Action: lock.Added}, {Dir: key, Name: "NEW", Action: lock.RenamedNew}, {Dir: key, Name: "NEW", Action: lock.Added},
		{Dir: key, Name: "Name8", Action: lock.Removed}, {Dir: key, Name: "Name9", Action: lock.RenamedOld}, {Dir: key, Name: "name1", Action: lock.Modified},
		{Dir: lock.Key{Ino: 1}, Name: "Name10", Action: lock.Removed},
	} {
		l.changed(c)
	}
	search("new", "New")
	search("New", "NEW")
	search("NAME8", "")
	search("NAME9", "")
	search("NAME10", "Name10")
	l.changed(lock.Change{Dir: key, Name: "New", Action: lock.Removed})
	search("new", "NEW")
	if want := listingMin + 1 + 2 - 2 - 1; l.names != want || l.by[key].size != want {
		t.Errorf("%d names, %d in the listing, want %d", l.names, l.by[key].size, want)
	}
}

// What happens while a directory is read is not lost, and what is not worth it is not kept.
func TestListingWhileLoading(t *testing.T) {
	dir, key := largeDirectory(t, listingMin)
	l := &listings{by: map[lock.Key]*listing{}}
	a, err := export.Stat(int(dir.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	loading := l.begin(key, a.Mtime)
	l.changed(lock.Change{Dir: key, Name: "late", Action: lock.Added})
	l.changed(lock.Change{Dir: key, Name: "Name1", Action: lock.Removed})
	if found, err := loading.scan(dir, fold("x"), "x"); found != "" || err != nil {
		t.Error(found, err)
	}
	l.end(key, loading, true)
	for name, want := range map[string]string{"LATE": "late", "NAME1": "", "NAME2": "Name2"} {
		if got, ok := l.look(key, a.Mtime, fold(name), name); got != want || !ok {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
	small, key := largeDirectory(t, 3)
	if got, err := l.search(small, "NAME1"); got != "Name1" || err != nil || l.by[key] != nil {
		t.Errorf("a small directory: %q, %v", got, err)
	}
}

// A name that is not there, in a directory of 100,000.
func BenchmarkMissingName(b *testing.B) {
	dir, _ := largeDirectory(b, 100_000)
	l := &listings{by: map[lock.Key]*listing{}}
	l.search(dir, "x")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if found, err := l.search(dir, "new-name-0001.txt"); found != "" || err != nil {
			b.Fatal(found, err)
		}
	}
}

func BenchmarkMissingNameScan(b *testing.B) {
	dir, key := largeDirectory(b, 100_000)
	l := &listings{by: map[lock.Key]*listing{}}
	for b.Loop() {
		l.mu.Lock()
		l.drop(key)
		l.mu.Unlock()
		if found, err := l.search(dir, "new-name-0001.txt"); found != "" || err != nil {
			b.Fatal(found, err)
		}
	}
}
