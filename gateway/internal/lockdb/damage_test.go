package lockdb_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/internal/lockdb"
)

// envDamage is how many damaged databases are tried; a soak tries 1000.
const envDamage = "LOCKDB_DAMAGE"

// files are those of dir that hold something, the engine's lock apart.
func files(t *testing.T, dir string) (list []string) {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if st, err := d.Info(); err == nil && st.Size() > 0 && d.Name() != "LOCK" {
			list = append(list, p)
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		t.Fatal(err, list)
	}
	return list
}

// rewrite gives a file new contents, zeros at its end as a hole.
func rewrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, data(b), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(b))); err != nil {
		t.Fatal(err)
	}
}

// damages are what may happen to a database's files. Each says what it did, and nothing where nothing changed.
var damages = []struct {
	name string
	do   func(t *testing.T, rnd *rand.Rand, dir string, others []string) (what string)
}{
	{"flip", func(t *testing.T, rnd *rand.Rand, dir string, _ []string) string {
		path, b := pick(t, rnd, dir)
		at, n := rnd.IntN(max(len(data(b)), 1)), 1+rnd.IntN(4)
		for i := at; i < min(at+n, len(b)); i++ {
			b[i] ^= byte(1 + rnd.IntN(255))
		}
		rewrite(t, path, b)
		return fmt.Sprintf("%s: %d bytes at %d of %d", filepath.Base(path), n, at, len(data(b)))
	}},
	{"truncate", func(t *testing.T, rnd *rand.Rand, dir string, _ []string) string {
		path, b := pick(t, rnd, dir)
		to := rnd.IntN(max(len(data(b)), 1))
		rewrite(t, path, b[:to])
		return fmt.Sprintf("%s: cut off at %d of %d", filepath.Base(path), to, len(data(b)))
	}},
	{"zero", func(t *testing.T, rnd *rand.Rand, dir string, _ []string) string {
		path, b := pick(t, rnd, dir)
		page := rnd.IntN(len(data(b))/4096+1) * 4096
		clear(b[min(page, len(b)):min(page+4096, len(b))])
		rewrite(t, path, b)
		return fmt.Sprintf("%s: the page at %d of %d", filepath.Base(path), page, len(data(b)))
	}},
	// A file of another moment, or another one of the same, takes the place of one, or one is gone.
	{"swap", func(t *testing.T, rnd *rand.Rand, dir string, others []string) string {
		path, _ := pick(t, rnd, dir)
		if rnd.IntN(4) == 0 {
			os.Remove(path)
			return filepath.Base(path) + " is gone"
		}
		list := files(t, others[rnd.IntN(len(others))])
		if rel, _ := filepath.Rel(dir, path); rnd.IntN(2) == 0 {
			list = nil // the file of the same name
			for _, o := range others {
				if _, err := os.Stat(filepath.Join(o, rel)); err == nil {
					list = append(list, filepath.Join(o, rel))
				}
			}
		}
		if len(list) == 0 {
			os.Remove(path)
			return filepath.Base(path) + " is gone"
		}
		from := list[rnd.IntN(len(list))]
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, path, b)
		return fmt.Sprintf("%s is %s", filepath.Base(path), from)
	}},
}

func pick(t *testing.T, rnd *rand.Rand, dir string) (path string, b []byte) {
	list := files(t, dir)
	path = list[rnd.IntN(len(list))]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, b
}

// Whatever happens to the files is found, or does no harm; in no case is a record silently missing. Where the file that says how far the database had come
// goes together with its end, nothing is left that could tell: only one file is damaged here.
func TestDamagedFiles(t *testing.T) {
	trials := 60
	if s := os.Getenv(envDamage); s != "" {
		trials, _ = strconv.Atoi(s)
	}
	dir := t.TempDir()
	v, _, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	put := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			r := byteRange(i%7, i)
			if err := v.Wait(context.Background(), v.Append(lockdb.Op{Range: &r})); err != nil {
				t.Fatal(err)
			}
		}
	}
	snapshot := func() string {
		to := t.TempDir()
		copyDir(t, dir, to)
		return to
	}
	put(0, 100)
	early := snapshot()
	v.Close()
	clean := snapshot()
	if v, _, err = openDir(dir); err != nil {
		t.Fatal(err)
	}
	put(100, 300)
	log := snapshot() // as kill -9 leaves it: half in tables, half in the log
	v.Close()
	tables := snapshot() // and all in tables

	const whole = "ranges: 300 hosts: 0\n"
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(1, seed))
	results := map[string]int{}
	work := t.TempDir()
	for trial := range trials + 2 {
		from := []string{log, tables}[trial%2]
		to := filepath.Join(work, fmt.Sprint(trial))
		copyDir(t, from, to)
		what, name := "", "none"
		if trial >= 2 { // the first two are undamaged
			d := damages[trial/2%len(damages)]
			name = d.name
			what = d.do(t, rnd, to, []string{early, clean, log, tables})
		}
		out, err := child(envOpen, to).CombinedOutput()
		said := strings.TrimPrefix(string(out), "refused: ")
		switch {
		case string(out) == whole && err == nil:
			results[name+": harmless"]++
		case trial < 2:
			t.Fatalf("an undamaged copy: %v, %s", err, out)
		case said != string(out) && strings.TrimSpace(said) != "" && err == nil:
			results[name+": found"]++
		case err != nil:
			// The engine's memory map faults beyond the end of a file that was cut off: the program ends, and says where.
			if _, exited := err.(*exec.ExitError); !exited || len(out) == 0 {
				t.Errorf("seed %d: %s %s: %v, %s", seed, name, what, err, out)
			}
			results[name+": stopped"]++
			t.Logf("%s %s: %.300s", name, what, out)
		default:
			t.Errorf("seed %d: %s %s changed: %s", seed, name, what, out)
		}
		os.RemoveAll(to)
	}
	t.Log(results)
}
