package lockdb_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockdb/badger"
)

// The test binary starts itself again as a child that can be killed.
const (
	envAppend = "LOCKDB_TEST_APPEND" // directory: append until killed, and say on standard output what was acknowledged
	envFrom   = "LOCKDB_TEST_FROM"   // the first step of each appender
	envAlways = "LOCKDB_TEST_ALWAYS" // set: each commit is synced before it is acknowledged
	envOpen   = "LOCKDB_TEST_OPEN"   // directory: open, and say on standard output what is there
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(envAppend) != "":
		appendForEver(os.Getenv(envAppend))
	case os.Getenv(envOpen) != "":
		openOnce(os.Getenv(envOpen))
	default:
		os.Exit(m.Run())
	}
}

func child(env, dir string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), env+"="+dir)
	return c
}

func openDir(dir string) (lockdb.Vault, lockdb.Start, error) {
	s, err := badger.Open(filepath.Join(dir, "db"), nil)
	if err != nil {
		return nil, lockdb.Start{}, err
	}
	cfg := lockdb.Config{Dir: dir, Store: s, Lag: lag, Boot: "this boot"}
	if os.Getenv(envAlways) != "" {
		cfg.Lag = 0
	}
	return lockdb.Begin(cfg)
}

// step n of an appender: it puts a range or, every third time, deletes the one before.
func step(i, n int) lockdb.Op {
	del := n%3 == 2
	if del {
		n--
	}
	r := byteRange(i, n)
	return lockdb.Op{Delete: del, Range: &r}
}

const (
	appenders = 4
	lag       = 40 * time.Millisecond
)

func appendForEver(dir string) {
	v, _, err := openDir(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	from := strings.Fields(os.Getenv(envFrom))
	var wg sync.WaitGroup
	for i := range appenders {
		wg.Go(func() {
			n, _ := strconv.Atoi(from[i])
			for ; ; n++ {
				if err := v.Wait(context.Background(), v.Append(step(i, n))); err != nil {
					return
				}
				fmt.Printf("%d %d\n", i, n)
			}
		})
	}
	wg.Wait()
}

// kill -9 at any moment loses nothing that was acknowledged, and the gateway starts again.
func TestKill(t *testing.T) {
	t.Run("soon", killed)
	t.Run("always", func(t *testing.T) {
		t.Setenv(envAlways, "1")
		killed(t)
	})
}

func killed(t *testing.T) {
	dir := t.TempDir()
	acked := [appenders]int{-1, -1, -1, -1}
	for kill := range 10 {
		c := child(envAppend, dir)
		next := ""
		for _, n := range acked {
			next += fmt.Sprint(n+1) + " " // whether it happened or not, it may happen again
		}
		c.Env = append(c.Env, envFrom+"="+next)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		left := 1 + rand.IntN(200)
		for lines.Scan() {
			var i, n int
			if _, err := fmt.Sscan(lines.Text(), &i, &n); err != nil {
				break // cut off by the kill
			}
			acked[i] = n
			if left--; left == 0 {
				c.Process.Kill()
			}
		}
		c.Wait()
		if left > 0 {
			t.Fatalf("kill %d: the child ended by itself: %s", kill, &stderr)
		}

		v, s, err := openDir(dir)
		if err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		if s.Clean {
			t.Errorf("kill %d: a clean start", kill)
		}
		there := map[string]bool{}
		for _, r := range s.Ranges {
			there[fmt.Sprintf("%s %d", r.Owner.Client.Name, r.Offset/10)] = true
		}
		for i := range appenders {
			// The step after the last acknowledged one may have happened or not.
			for n := 0; n <= acked[i]; n++ {
				if n%3 == 2 {
					continue
				}
				want := n%3 == 0 || n+1 > acked[i]
				unsure := n == acked[i] && n%3 == 1
				if got := there[fmt.Sprintf("host%d %d", i, n)]; got != want && !unsure {
					t.Errorf("kill %d: appender %d acknowledged up to %d; range %d there: %v", kill, i, acked[i], n, got)
				}
			}
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func openOnce(dir string) {
	v, s, err := openDir(dir)
	if err != nil {
		fmt.Println("refused:", err)
		return
	}
	fmt.Println("ranges:", len(s.Ranges), "hosts:", len(s.Hosts))
	v.Close()
}

// data is b without the zeros at its end.
func data(b []byte) []byte {
	var block [4096]byte
	for n := len(b) - len(block); n > 0 && bytes.Equal(b[n:], block[:]); n = len(b) - len(block) {
		b = b[:n]
	}
	return bytes.TrimRight(b, "\x00")
}

// copyDir leaves holes where there are zeros: the engine's files are large and empty.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, p)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		path := filepath.Join(to, rel)
		if err := os.WriteFile(path, data(b), 0o600); err != nil {
			return err
		}
		return os.Truncate(path, int64(len(b)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// One process at a time.
func TestSecondGateway(t *testing.T) {
	dir := t.TempDir()
	v, _, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := child(envOpen, dir).CombinedOutput()
	if want := "refused: " + filepath.Join(dir, "db") + ": a running gateway has this database open\n"; err != nil || string(out) != want {
		t.Errorf("%v, %q, want %q", err, out, want)
	}
	r := byteRange(1, 1)
	wait(t, v, v.Append(lockdb.Op{Range: &r}))
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v, s, err := openDir(dir)
	if err != nil || !reflect.DeepEqual(s.Ranges, []lockdb.Range{r}) {
		t.Fatal(s, err)
	}
	if err := v.Close(); errors.Is(err, lockdb.ErrDamaged) {
		t.Error(err)
	}
}
