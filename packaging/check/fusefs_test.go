package check

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// stuck are the processes that are in uninterruptible sleep now, by number.
func stuck() map[string]bool {
	in := map[string]bool{}
	stats, _ := filepath.Glob("/proc/[0-9]*/task/*/stat")
	for _, path := range stats {
		b, _ := os.ReadFile(path)
		if _, after, ok := strings.Cut(string(b), ") "); ok && strings.HasPrefix(after, "D") {
			in[path] = true
		}
	}
	return in
}

// bothWays runs a test on a mount whose data the kernel passes through, where it can, and on one whose data goes through the daemon.
func bothWays(t *testing.T, do func(t *testing.T, way ...string)) {
	t.Run("passthrough", func(t *testing.T) { do(t) })
	t.Run("daemon", func(t *testing.T) { do(t, "--no-passthrough") })
}

// restartFusefs kills fusefs and returns when another serves.
func (g *gateway) restartFusefs() {
	g.t.Helper()
	old := g.pid("fusefs")
	syscall.Kill(old, syscall.SIGKILL)
	for deadline := time.Now().Add(20 * time.Second); g.pid("fusefs") == old || !g.serving(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatal("fusefs did not come back")
		}
	}
}

// kill -9 of fusefs while local programs work: the path is served again within two seconds, nobody is stuck, and the programs go on.
func TestFusefsKilledUnderLoad(t *testing.T) { bothWays(t, fusefsKilledUnderLoad) }

func fusefsKilledUnderLoad(t *testing.T, way ...string) {
	dir := tree(t)
	g := up(t, dir, way...)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var done atomic.Int64
	for i := range 4 {
		load.Go(func() {
			path := filepath.Join(dir, fmt.Sprint("load", i))
			for ctx.Err() == nil {
				if os.WriteFile(path, []byte("some data"), 0o644) == nil && os.Remove(path) == nil {
					done.Add(1)
				}
			}
		})
	}
	defer load.Wait()
	defer stop()
	for range 5 {
		for before := done.Load(); done.Load() < before+20; {
			time.Sleep(time.Millisecond)
		}
		old := g.pid("fusefs")
		began := time.Now()
		syscall.Kill(old, syscall.SIGKILL)
		suspects := stuck()
		back := func() bool {
			now := g.pid("fusefs") // 0 while it is only being started: no process to be killed, but this test's own group
			return now != 0 && now != old && os.WriteFile(filepath.Join(dir, "probe"), nil, 0o644) == nil
		}
		for !back() {
			if time.Since(began) > 20*time.Second {
				t.Fatal("the path is not served again")
			}
			time.Sleep(5 * time.Millisecond)
			now := stuck()
			for p := range suspects {
				if !now[p] {
					delete(suspects, p)
				}
			}
		}
		t.Logf("the path was served again after %v", time.Since(began).Round(time.Millisecond))
		if len(suspects) > 0 && time.Since(began) > 5*time.Second {
			t.Errorf("in uninterruptible sleep since the kill: %v", suspects)
		}
	}
}

// What a program has open goes on past its fusefs where the kernel passes through, and so does its open at the counter.
func TestOpensOutliveFusefs(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	l := local(t)
	fd := l.do("open", args{"name": filepath.Join(dir, "f"), "flags": os.O_RDWR}).FD
	g.restartFusefs()
	if a := l.do("write", args{"fd": fd, "offset": 0, "data": "late"}); a.Errno != "" {
		t.Logf("the kernel does not pass through: %s", a.Errno)
		return
	}
	const readAccess, shareRead = 0x120089, 1
	s := g.smb(t)
	open := func() string {
		a := s.do("open", args{"name": "f", "access": readAccess, "share": shareRead, "disposition": 1})
		return a.Status
	}
	if st := open(); st != sharingViolation {
		t.Errorf("SMB open that denies writing, against a program that writes past its fusefs: %s", st)
	}
	if o := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1, "key": "300102030405060708090a0b0c0d0e0f", "state": 7}); o.Status != statusOK || o.Lease != 0 {
		t.Errorf("a lease beside it: %+v", o)
	} else {
		s.do("close", args{"fid": o.FID})
	}
	l.do("close", args{"fd": fd})
	st := ""
	for deadline := time.Now().Add(10 * time.Second); st != statusOK && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		st = open()
	}
	if st != statusOK {
		t.Errorf("after the program's close: %s", st)
	}
}

// Who wrote, waited for a lock or had a map when fusefs was killed is not left hanging: what the daemon served ends in an error, and
// what it holds back no longer is free for the next who open the file.
func TestHoldersOfAKilledMount(t *testing.T) { bothWays(t, holdersOfAKilledMount) }

func holdersOfAKilledMount(t *testing.T, way ...string) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir, way...)
	type user struct {
		*peer
		fd int
	}
	start := func() user {
		p := local(t)
		return user{p, p.do("open", args{"name": filepath.Join(dir, "f"), "flags": os.O_RDWR}).FD}
	}
	holder, ranger, flocker, mapper := start(), start(), start(), start()
	for do, a := range map[string]args{"lock": {"fd": holder.fd, "kind": "write", "start": 0, "length": 4}, "flock": {"fd": holder.fd}} {
		if e := holder.do(do, a).Errno; e != "" {
			t.Fatalf("%s: %s", do, e)
		}
	}
	if got := mapper.do("map", args{"fd": mapper.fd, "length": 10}).Data; got != "0123456789" {
		t.Fatalf("the map says %q", got)
	}
	ranges := ranger.begin("lock", args{"fd": ranger.fd, "kind": "write", "start": 0, "length": 4, "wait": true})
	flocks := flocker.begin("flock", args{"fd": flocker.fd})
	waits(t, "fcntl(F_SETLKW)", ranges)
	waits(t, "flock", flocks)
	g.restartFusefs()

	type seen struct{ ranges, flocks, write, poke string }
	got := seen{
		ranges: within(t, 5*time.Second, "fcntl(F_SETLKW)", ranges).Errno,
		flocks: within(t, 5*time.Second, "flock", flocks).Errno,
		write:  within(t, 5*time.Second, "write", holder.begin("write", args{"fd": holder.fd, "offset": 4, "data": "W"})).Errno,
		poke:   within(t, 5*time.Second, "poke", mapper.begin("poke", args{"offset": 5, "data": "M"})).Errno,
	}
	want := seen{ranges: "ECONNABORTED", flocks: "ECONNABORTED"}
	text := "0123WM6789"
	if way != nil {
		want.write, want.poke, text = "ENOTCONN", "ENOTCONN", "0123456789"
	}
	if got != want {
		t.Errorf("after kill -9 of fusefs: %+v, want %+v", got, want)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(b) != text {
		t.Errorf("the file is %q, %v; want %q", b, err, text)
	}
	next := start()
	if e := next.do("lock", args{"fd": next.fd, "kind": "write", "start": 0, "length": 4}).Errno; e != "" {
		t.Errorf("a lock of the next program: %s", e)
	}
}

// The daemons whose threads wait in the kernel have slow timers, which their scheduler's monitor sleeps by, however they are started.
func TestTimerSlack(t *testing.T) {
	g := up(t, tree(t))
	got := map[string]string{}
	for _, d := range []string{"gateway", "fusefs", "smbd", "lockd"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", g.pid(d)))
		if err != nil {
			t.Fatal(err)
		}
		got[d] = strings.TrimSpace(string(b))
	}
	if want := map[string]string{"gateway": "1000000", "fusefs": "1000000", "smbd": "1000000", "lockd": "50000"}; !maps.Equal(got, want) {
		t.Errorf("nanoseconds: %v, want %v", got, want)
	}
	for d, ns := range got {
		unit, err := os.ReadFile("../systemd/dittofs-" + d + ".service")
		if err != nil || strings.Contains(string(unit), "\nTimerSlackNSec=1ms\n") != (ns == "1000000") {
			t.Errorf("the unit of %s says otherwise (%v)", d, err)
		}
	}
}
