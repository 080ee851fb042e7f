package hatch_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"dittofs/gateway/internal/hatch"
	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// gatewayAt serves a counter in dir until stop is called. patience is hatch.Config's; expect names the seats that are waited for.
func gatewayAt(t testing.TB, dir string, store lockdb.Store, patience time.Duration, expect ...string) (m *lockmgr.Manager, stop func()) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	v, start, err := lockdb.Begin(lockdb.Config{Dir: dir, Store: store, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	m = lockmgr.New(lockmgr.Config{Expect: expect, Muster: time.Minute}, start, v, log, nil)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		hatch.New(hatch.Config{Dir: dir, Counter: seats{m}, Log: log, Patience: patience}).Serve(ctx)
		close(served)
	}()
	return m, sync.OnceFunc(func() { cancel(); <-served; v.Close() })
}

// witness knows who was told that they have a file open and have not begun to close it.
type witness struct {
	t    *testing.T
	mu   sync.Mutex // guards held
	held map[lock.Key]map[bool]int
}

func (w *witness) enter(k lock.Key, exclusive bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.held[k]
	if h == nil {
		h = map[bool]int{}
		w.held[k] = h
	}
	if h[exclusive]++; h[true] > 0 && h[false] > 0 || h[true] > 1 {
		w.t.Errorf("%v is open %d times for local writers and %d times for nobody else", k, h[false], h[true])
	}
}

func (w *witness) leave(k lock.Key, exclusive bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[k][exclusive]--
}

// Local programs that write and SMB clients that share nothing are never told that they have one file open at the same time, while marks
// go to and fro and the gateway restarts beneath them.
func TestQuietMarks(t *testing.T) {
	dir, store := t.TempDir(), lockdb.NewMemory()
	_, stop := gatewayAt(t, dir, store, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dial := func(d lock.Door, name string, describe func(*lock.OpenRequest)) *ipc.Client {
		c, err := ipc.Dial(ctx, filepath.Join(dir, name+".sock"), ipc.Options{Door: d, Name: name, Log: log, Describe: describe})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Hangup)
		return c
	}
	local := dial(lock.Local, "fusefs", func(r *lock.OpenRequest) { r.Path = "told" })
	smb := dial(lock.SMB, "smbd", nil)

	w := &witness{t: t, held: map[lock.Key]map[bool]int{}}
	var quiet, denied, granted sync.Map
	count := func(m *sync.Map) int { n := 0; m.Range(func(any, any) bool { n++; return true }); return n }
	work := func(seed uint64, c *ipc.Client, exclusive bool, rounds int) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		door := lock.SMB
		r := lock.OpenRequest{Access: lock.Write, Share: lock.ShareAll}
		if exclusive {
			r.Share = 0
		} else {
			door = lock.Local
		}
		var mine []lock.OpenRequest
		for i := 0; i < rounds && ctx.Err() == nil; i++ {
			if exclusive && i%20 == 19 { // and nobody is there for a while
				for _, x := range mine {
					w.leave(x.Key, exclusive)
					c.Close(context.Background(), lock.CloseRequest{Open: x.Open})
				}
				mine = nil
				time.Sleep(3 * time.Millisecond)
			}
			if len(mine) > 2 || len(mine) > 0 && rnd.IntN(2) == 0 {
				x := mine[0]
				mine = mine[1:]
				w.leave(x.Key, exclusive)
				c.Close(context.Background(), lock.CloseRequest{Open: x.Open})
				continue
			}
			r := r
			r.Open, r.Key = c.Number(), lock.Key{FSID: 1, Ino: 1 + uint64(rnd.IntN(4))}
			r.Owner = lock.Owner{Client: lock.Client{Door: door}, Handle: r.Open}
			if exclusive {
				r.Owner.Client.GUID[0] = 1
			}
			res, err := c.Open(ctx, r, nil)
			switch {
			case ctx.Err() != nil:
				if err == nil && res.Outcome == lock.Granted {
					c.Close(context.Background(), lock.CloseRequest{Open: r.Open})
				}
			case err != nil:
				t.Error(err)
				return
			case res.Outcome == lock.Granted:
				w.enter(r.Key, exclusive)
				mine = append(mine, r)
				granted.Store(fmt.Sprint(exclusive, i), true)
			default:
				denied.Store(fmt.Sprint(exclusive, i), true)
			}
			if !exclusive && c.Unheard() {
				quiet.Store(i, true)
			} else if !exclusive {
				c.Changed(ctx, lock.Change{Key: r.Key, Action: lock.Modified})
			}
			if exclusive {
				time.Sleep(time.Duration(rnd.IntN(400)) * time.Microsecond)
			}
		}
		for _, x := range mine {
			w.leave(x.Key, exclusive)
			c.Close(context.Background(), lock.CloseRequest{Open: x.Open})
		}
	}
	var all, smbs sync.WaitGroup
	for i := range uint64(3) {
		all.Go(func() { work(i, local, false, 1<<30) })
	}
	for i := range uint64(2) {
		smbs.Go(func() { work(10+i, smb, true, 300) })
	}
	for range 3 {
		time.Sleep(30 * time.Millisecond)
		stop()
		_, stop = gatewayAt(t, dir, store, 0, "fusefs", "smbd")
	}
	defer stop()
	smbs.Wait()
	cancel()
	all.Wait()
	if count(&quiet) == 0 || count(&denied) == 0 || count(&granted) < 100 {
		t.Errorf("a dull world: quiet %d, denied %d, granted %d", count(&quiet), count(&denied), count(&granted))
	}
}

// Opens that nobody asked about are listed all the same, with their paths, and are the counter's then.
func TestQuietOpensAreListed(t *testing.T) {
	dir := t.TempDir()
	m, stop := gatewayAt(t, dir, lockdb.NewMemory(), 0)
	defer stop()
	c, err := ipc.Dial(t.Context(), filepath.Join(dir, "fusefs.sock"), ipc.Options{Door: lock.Local, Name: "fusefs",
		Describe: func(r *lock.OpenRequest) { r.Path = fmt.Sprint("file ", r.Key.Ino) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Hangup()
	for !c.Unheard() { // the first question brings the marks
		if _, done, err := c.Access(t.Context(), lock.AccessRequest{Key: lock.Key{Ino: 9}, Op: lock.OpSetAttr, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}}}, time.Second, nil); err != nil {
			t.Fatal(err)
		} else {
			done(false)
		}
	}
	for i := range uint64(3) {
		res, err := c.Open(t.Context(), lock.OpenRequest{Open: 100 + i, Key: lock.Key{Ino: i}, Owner: lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: i},
			Access: lock.Read, Share: lock.ShareAll}, nil)
		if err != nil || res.Outcome != lock.Granted {
			t.Fatal(res, err)
		}
	}
	if got := len(m.List(lock.Filter{}).Files); got != 0 {
		t.Errorf("%d opens were told to the counter", got)
	}
	s, err := c.List(t.Context(), lock.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range s.Files {
		got = append(got, fmt.Sprint(f.Path, " ", len(f.Opens)))
	}
	if want := "[file 0 1 file 1 1 file 2 1]"; fmt.Sprint(got) != want {
		t.Errorf("listed %v, want %v", got, want)
	}
	for i := range uint64(3) {
		c.Close(t.Context(), lock.CloseRequest{Open: 100 + i})
	}
	if got := len(m.List(lock.Filter{}).Files); got != 0 {
		t.Errorf("%d opens stay", got)
	}
}

// A door that does not hand over its books keeps an SMB client waiting for a while, and then loses its seat.
func TestMarksThatDoNotComeBack(t *testing.T) {
	dir := t.TempDir()
	_, stop := gatewayAt(t, dir, lockdb.NewMemory(), 300*time.Millisecond)
	defer stop()
	stuck := make(chan struct{})
	var once sync.Once
	c, err := ipc.Dial(t.Context(), filepath.Join(dir, "fusefs.sock"), ipc.Options{Door: lock.Local, Name: "fusefs",
		Describe: func(r *lock.OpenRequest) { <-stuck }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Hangup()
	defer once.Do(func() { close(stuck) })
	smb, err := ipc.Dial(t.Context(), filepath.Join(dir, "smbd.sock"), ipc.Options{Door: lock.SMB, Name: "smbd"})
	if err != nil {
		t.Fatal(err)
	}
	defer smb.Hangup()
	local := lock.Owner{Client: lock.Client{Door: lock.Local}}
	for !c.Unheard() {
		_, done, err := c.Access(t.Context(), lock.AccessRequest{Key: lock.Key{Ino: 9}, Op: lock.OpSetAttr, Owner: local}, time.Second, nil)
		if err != nil {
			t.Fatal(err)
		}
		done(false)
	}
	if res, err := c.Open(t.Context(), lock.OpenRequest{Open: 100, Key: lock.Key{Ino: 1}, Owner: local, Access: lock.Write, Share: lock.ShareAll}, nil); err != nil || res.Outcome != lock.Granted {
		t.Fatal(res, err)
	}
	exclusive := lock.OpenRequest{Open: 1, Key: lock.Key{Ino: 1}, Owner: lock.Owner{Client: lock.Client{Door: lock.SMB}}, Access: lock.Read}
	if res, err := smb.Open(t.Context(), exclusive, nil); err != nil || res.Outcome != lock.Granted {
		t.Errorf("beside a door that is stuck: %v %v", res.Outcome, err)
	}
	once.Do(func() { close(stuck) })
	// It comes back, and is not let in beside what was granted meanwhile.
	if res, err := c.Open(t.Context(), lock.OpenRequest{Open: 101, Key: lock.Key{Ino: 1}, Owner: local, Access: lock.Write, Share: lock.ShareAll}, nil); err != nil || res.Outcome != lock.SharingDenied {
		t.Errorf("after it came back: %v %v", res.Outcome, err)
	}
}
