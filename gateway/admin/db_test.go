package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockdb/badger"
	"dittofs/gateway/lock"
)

// dittofsDB runs `dittofs --state DIR db …`.
func dittofsDB(state string, args ...string) (string, error) {
	app := App()
	var out bytes.Buffer
	app.Writer, app.ErrWriter = &out, &out
	err := app.Run(append([]string{"dittofs", "--state", state, "db"}, args...))
	return out.String(), err
}

func TestDB(t *testing.T) {
	base := t.TempDir()
	state := func(name string) string {
		dir := filepath.Join(base, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		toml := fmt.Sprintf("state = %q\nrun = %q\n", dir, filepath.Join(dir, "run"))
		if err := os.WriteFile(filepath.Join(dir, "gateway.toml"), []byte(toml), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	a, b := state("a"), state("b")
	want := func(dir, wantOut, wantErr string, args ...string) {
		t.Helper()
		out, err := dittofsDB(dir, args...)
		if !regexp.MustCompile(wantOut).MatchString(out) || fmt.Sprint(err) != "<nil>" && wantErr == "" || wantErr != "" && !regexp.MustCompile(wantErr).MatchString(fmt.Sprint(err)) {
			t.Fatalf("db %v: %v\n%s\nwant %s, %s", args, err, out, wantErr, wantOut)
		}
	}
	want(a, "^$", "no lock database", "check")

	s, err := badger.Open(filepath.Join(a, "locks"), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := lockdb.Begin(lockdb.Config{Dir: a, Store: s})
	if err != nil {
		t.Fatal(err)
	}
	r := lockdb.Range{Key: lock.Key{FSID: 1, Ino: 2}, Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "one\xff"}, PID: 7, OH: "oh"}, Length: 10, Exclusive: true, Path: "f"}
	h := lockdb.Host{Name: "one\xff", Address: "192.0.2.1", State: 3}
	if err := v.Wait(context.Background(), v.Append(lockdb.Op{Range: &r}, lockdb.Op{Host: &h})); err != nil {
		t.Fatal(err)
	}
	want(a, "^$", "a running gateway has this database open; stop it first", "check")
	want(a, "^$", "stop it first", "recover")
	v.Close()

	export := filepath.Join(base, "export.jsonl")
	want(a, "good, 1 ranges, 0 durable opens, 1 hosts, commit 2, epoch 1, NSM state 1, cleanly stopped\n$", "", "check")
	want(a, "^$", "", "export", export)
	want(a, "^$", "exists", "export", export)
	want(a, "^$", "is there already", "import", export)
	want(b, "imported, 1 ranges, 0 durable opens, 1 hosts, .*not stopped cleanly", "", "import", export)
	want(b, "good, 1 ranges", "", "check")
	one, _ := dittofsDB(a, "export")
	two, _ := dittofsDB(b, "export")
	if one, two := records(one), records(two); one != two || strings.Count(one, "\n") != 3 {
		t.Errorf("exported\n%s\nand imported and exported again\n%s", one, two)
	}
	cut, _ := os.ReadFile(export)
	os.WriteFile(export, cut[:bytes.LastIndexByte(cut[:len(cut)-1], '\n')+1], 0o600)
	os.RemoveAll(filepath.Join(b, "locks"))
	want(b, "^$", "line 3: the file was cut off", "import", export)

	want(a, "nothing to recover", "", "recover")
	tables, _ := filepath.Glob(filepath.Join(a, "locks", "*.sst"))
	manifest := filepath.Join(a, "locks", "MANIFEST")
	if len(tables) == 0 {
		t.Fatal("no tables")
	}
	if err := os.WriteFile(manifest, []byte("not a manifest"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(a, "^$", "MANIFEST|magic", "check")
	want(a, `(?s)damage: .*commit 0, but commit 2.*kept at .*recovered, 0 ranges`, "", "recover")
	want(a, "good, 0 ranges, .*not stopped cleanly", "", "check")
	aside, _ := filepath.Glob(filepath.Join(a, "locks.damaged-*", "*.sst"))
	if len(aside) != len(tables) {
		t.Errorf("kept aside: %v", aside)
	}
}

// records is an export without its first line, which has the time.
func records(s string) string { return s[strings.IndexByte(s, '\n')+1:] }
