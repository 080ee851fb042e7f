package check

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dittofs/gateway/xdr"
)

// envKills is how many kills there are; a soak makes 1000.
const envKills = "DITTOFS_KILLS"

// mark is one range of the oracle, which knows only what NLM answered.
type mark int

const (
	free   mark = iota
	held        // LOCK was granted
	unsure      // a call got no answer: it happened or not
)

// locker is an NLM client that locks and unlocks ranges of one file at random and remembers the answers.
type locker struct {
	n     int
	host  string
	fh    []byte
	marks [16]mark
	acked int
}

// at is where the locker's range i lies: ranges do not touch.
func (l *locker) at(i int) uint64 { return uint64(l.n*len(l.marks)+i) * 20 }

// work goes on until stop, and takes a lost connection for an answer that did not come.
func (l *locker) work(t *testing.T, g *gateway, stop *atomic.Bool) {
	rnd := rand.New(rand.NewPCG(uint64(l.n), uint64(time.Now().UnixNano())))
	n := g.nlm(t, l.host, int32(l.n+1))
	defer n.conn.Close()
	for !stop.Load() {
		i := rnd.IntN(len(l.marks))
		was := l.marks[i]
		l.marks[i] = unsure
		var st uint32
		var err error
		if was == held {
			st, err = n.tryUnlock(l.fh, l.at(i), 10)
		} else {
			st, err = n.tryLock(l.fh, l.at(i), 10, false)
		}
		switch {
		case err != nil:
			return
		case st == nlmGranted && was == held:
			l.marks[i] = free
			l.acked++
		case st == nlmGranted:
			l.marks[i] = held
			l.acked++
		case st == nlmDenied:
			t.Errorf("%s: range %d is denied; nobody else wants it", l.host, i)
			return
		default: // grace, or the gateway is away: it says that nothing was done, or does not know
			if st == nlmGrace {
				l.marks[i] = was
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// kill -9 of the gateway under load, at random moments: every lock that was granted and not unlocked is there, and none that was not asked for.
// A grant may be synced before it is told or after; the kernel has it either way.
func TestKilledUnderLoad(t *testing.T) {
	kills := 50
	if s := os.Getenv(envKills); s != "" {
		kills, _ = strconv.Atoi(s)
	}
	for _, setting := range []string{"soon", "always"} {
		t.Run(setting, func(t *testing.T) { killedUnderLoad(t, setting, (kills+1)/2) })
	}
}

func killedUnderLoad(t *testing.T, setting string, kills int) {
	dir := tree(t)
	state, conf := filepath.Join(filepath.Dir(dir), "state"), filepath.Join(filepath.Dir(dir), "gateway.toml")
	write(t, conf, fmt.Sprintf("state = %q\nrun = %q\nlisten = \"127.0.0.1\"\n[lock]\nsync = %q\n[[export]]\npath = %q\ninsecure = true\nsquash = \"none\"\n", state, state+"/run", setting, dir))
	start := func() *gateway { return upWith(t, dir, state, "up", "--config", conf, "--user", smbUser) }
	g := start()
	const lockers = 4
	var ls []*locker
	for n := range lockers {
		name := fmt.Sprint("f", n)
		write(t, filepath.Join(dir, name), "x")
		ls = append(ls, &locker{n: n, host: fmt.Sprint("client-k", n), fh: g.nfs(t, 0).must(name)})
	}
	var away []time.Duration
	acked := 0
	for kill := range kills {
		if kill > 0 && kill%4 == 0 {
			// A clean stop in between: the supervisor's pause, which grows with each death, begins again, and nothing has to be reclaimed.
			g.Stop()
			g = start()
		}
		var stop atomic.Bool
		var wg sync.WaitGroup
		for _, l := range ls {
			wg.Go(func() { l.work(t, g, &stop) })
		}
		time.Sleep(time.Duration(10+rand.IntN(120)) * time.Millisecond)
		away = append(away, g.killGateway(func() { stop.Store(true) }))
		wg.Wait()
		if t.Failed() {
			return
		}

		// The list is compared with the oracle, before anybody reclaims.
		there := map[string]map[uint64]bool{}
		for _, e := range g.locks() {
			if e.Protocol != "nlm" || e.Length != 10 || e.Mode != "exclusive" || there[e.Path][e.Start] {
				t.Errorf("kill %d: a ghost: %+v", kill, e)
			}
			if there[e.Path] == nil {
				there[e.Path] = map[uint64]bool{}
			}
			there[e.Path][e.Start] = true
		}
		for _, l := range ls {
			mine := there[fmt.Sprint("f", l.n)]
			acked, l.acked = acked+l.acked, 0
			for i := range l.marks {
				on := mine[l.at(i)]
				delete(mine, l.at(i))
				switch {
				case l.marks[i] == held && !on:
					t.Errorf("kill %d: %s range %d was granted and is lost", kill, l.host, i)
				case l.marks[i] == free && on:
					t.Errorf("kill %d: %s range %d is a ghost: it was unlocked or never granted", kill, l.host, i)
				case l.marks[i] == unsure && on:
					l.marks[i] = held
				case l.marks[i] == unsure:
					l.marks[i] = free
				}
			}
			if len(mine) > 0 {
				t.Errorf("kill %d: ghosts %v", kill, mine)
			}
			// Reclaiming is the second witness; and when all have, grace ends.
			n := g.nlm(t, l.host, int32(l.n+1))
			for i, m := range l.marks {
				if m == held {
					if st := n.lock(l.fh, l.at(i), 10, false, true); st != nlmGranted {
						t.Errorf("kill %d: %s reclaims range %d: %d", kill, l.host, i, st)
					}
				}
			}
			n.conn.Close()
		}
		if t.Failed() {
			return
		}
	}
	slices.Sort(away)
	t.Logf("%d kills, %d acknowledged calls; started again, every door serves after %v at the median and %v at most", kills, acked, away[len(away)/2].Round(time.Millisecond), away[len(away)-1].Round(time.Millisecond))
	if acked == 0 {
		t.Error("nothing was acknowledged")
	}
}

// killGateway kills the gateway and returns how long it took from the start of the next one until every door serves again.
func (g *gateway) killGateway(killed func()) time.Duration {
	g.t.Helper()
	old, at := g.pid("gateway"), time.Now()
	syscall.Kill(old, syscall.SIGKILL)
	killed()
	began := at // when the supervisor started the next one
	for old != 0 || !g.serving() {
		if p := g.pid("gateway"); old != 0 && p != old && p != 0 {
			old, began = 0, time.Now()
		}
		if time.Since(at) > 20*time.Second {
			g.t.Fatal("the gateway did not come back")
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// kill -9 with 100,000 locks on record, which is as many as the settings allow: all are there when the gateway serves again.
func TestKilledWithManyLocks(t *testing.T) {
	dir := tree(t)
	const hosts, files, each = 25, 500, 200
	for n := range files {
		write(t, filepath.Join(dir, fmt.Sprint("f", n)), "x")
	}
	g := up(t, dir)
	root := g.nfs(t, 0)
	var fhs [][]byte
	for n := range files {
		fhs = append(fhs, root.must(fmt.Sprint("f", n)))
	}
	began := time.Now()
	var wg sync.WaitGroup
	for h := range hosts {
		for part := range 2 {
			n := g.nlm(t, fmt.Sprint("client-m", h), 1)
			wg.Go(func() {
				defer n.conn.Close()
				for f := 2*h + part; f < files; f += 2 * hosts {
					for i := range uint64(each) {
						if st, err := n.tryLock(fhs[f], i*20, 10, false); err != nil || st != nlmGranted {
							t.Errorf("file %d range %d: %d %v", f, i, st, err)
							return
						}
					}
				}
			})
		}
	}
	wg.Wait()
	took := time.Since(began)
	if t.Failed() {
		return
	}
	away := g.killGateway(func() {})
	t.Logf("%d locks in %v; started again with them, every door serves after %v", files*each, took.Round(time.Millisecond), away.Round(time.Millisecond))
	there := map[string]map[uint64]bool{}
	for _, e := range g.locks() {
		if there[e.Path] == nil {
			there[e.Path] = map[uint64]bool{}
		}
		if e.Protocol != "nlm" || e.Length != 10 || e.Mode != "exclusive" || e.Start%20 != 0 || e.Start >= each*20 || there[e.Path][e.Start] {
			t.Fatalf("a ghost: %+v", e)
		}
		there[e.Path][e.Start] = true
	}
	for n := range files {
		if got := len(there[fmt.Sprint("f", n)]); got != each {
			t.Errorf("f%d has %d locks, want %d", n, got, each)
		}
	}
	if len(there) != files {
		t.Errorf("%d files have locks, want %d", len(there), files)
	}
}

// tryLock is a LOCK that does not wait; its error is an answer that did not come.
func (n *nlm) tryLock(fh []byte, offset, length uint64, reclaim bool) (uint32, error) {
	x, err := n.try(progNLM, 4, nlmLock, func(x *xdr.Stream) {
		cookie, block, exclusive, state := []byte("k1"), false, true, int32(1)
		x.Opaque(&cookie, 1024)
		x.Bool(&block)
		x.Bool(&exclusive)
		n.alock(x, fh, offset, length)
		x.Bool(&reclaim)
		x.Int32(&state)
	})
	if err != nil {
		return 0, err
	}
	return n.status(x), nil
}

func (n *nlm) tryUnlock(fh []byte, offset, length uint64) (uint32, error) {
	x, err := n.try(progNLM, 4, nlmUnlock, func(x *xdr.Stream) {
		cookie := []byte("k2")
		x.Opaque(&cookie, 1024)
		n.alock(x, fh, offset, length)
	})
	if err != nil {
		return 0, err
	}
	return n.status(x), nil
}
