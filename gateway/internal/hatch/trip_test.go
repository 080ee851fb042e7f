package hatch_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/internal/hatch"
	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// counterAt is the directory in which a second process of this test serves a counter.
const counterAt = "HATCH_TEST_COUNTER_AT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(counterAt); dir != "" {
		serveCounter(dir)
		return
	}
	os.Exit(m.Run())
}

// serveCounter serves a counter until its standard input ends.
func serveCounter(dir string) {
	log := slog.New(slog.DiscardHandler)
	v, start, err := lockdb.Begin(lockdb.Config{Dir: dir, Store: lockdb.NewMemory(), Log: log})
	if err != nil {
		panic(err)
	}
	m := lockmgr.New(lockmgr.Config{}, start, v, log, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { io.Copy(io.Discard, os.Stdin); cancel() }()
	hatch.New(hatch.Config{Dir: dir, Counter: seats{m}, Log: log}).Serve(ctx)
}

// burnt is the time that all threads of a process have run.
func burnt(pid string) (d time.Duration) {
	tasks, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		ns, _, _ := strings.Cut(string(b), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		d += time.Duration(n)
	}
	return d
}

// BenchmarkTrip is trips between two processes: an SMB open and its close are two. cpu-µs/trip is that of both processes. apart: there is
// a moment between two trips, as between the requests of a client.
func BenchmarkTrip(b *testing.B) {
	dir := b.TempDir()
	far := exec.Command(os.Args[0])
	far.Env = append(os.Environ(), counterAt+"="+dir)
	far.Stderr = os.Stderr
	in, err := far.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := far.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); far.Wait() })
	c, err := ipc.Dial(b.Context(), filepath.Join(dir, "smbd.sock"), ipc.Options{Name: "smbd", Door: lock.SMB, Eases: true, Sink: func(lock.Event) {}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Hangup()
	var number atomic.Uint64
	pair := func(caller int) {
		n := number.Add(1)
		res, err := c.Open(context.Background(), lock.OpenRequest{Open: n, Key: lock.Key{FSID: 1, Ino: uint64(caller) + 1, Gen: 7}, Access: lock.Read, Share: lock.ShareAll,
			Owner: lock.Owner{Client: lock.Client{Door: lock.SMB, Name: "client", GUID: lock.GUID{1}}, Session: 7, Handle: n}, Path: "share/a directory/a file", User: "somebody"}, nil)
		if err != nil || res.Outcome != lock.Granted {
			b.Error(res, err)
		}
		if res, err := c.Close(context.Background(), lock.CloseRequest{Open: n}); err != nil || res.Outcome != lock.Granted {
			b.Error(res, err)
		}
	}
	for _, depth := range []int{1, 8, 64} {
		for _, apart := range []time.Duration{0, 200 * time.Microsecond} {
			if apart > 0 && depth > 1 {
				continue
			}
			b.Run(fmt.Sprintf("depth=%d/apart=%v", depth, apart), func(b *testing.B) {
				b.ReportAllocs()
				here, there := burnt("self"), burnt(strconv.Itoa(far.Process.Pid))
				var left atomic.Int64
				left.Store(int64(b.N))
				var callers sync.WaitGroup
				for i := range depth {
					callers.Go(func() {
						for left.Add(-1) >= 0 {
							pair(i)
							if apart > 0 {
								time.Sleep(apart)
							}
						}
					})
				}
				callers.Wait()
				here, there = burnt("self")-here, burnt(strconv.Itoa(far.Process.Pid))-there
				b.ReportMetric(float64(here.Microseconds())/float64(2*b.N), "near-µs/trip")
				b.ReportMetric(float64(there.Microseconds())/float64(2*b.N), "far-µs/trip")
			})
		}
	}
}

// BenchmarkChange is a name that comes by NFS, as a client that asks for one at a time makes them: cpu-µs/change is what it costs to tell
// the other doors, both ends of their hatches and the moment between two changes together.
func BenchmarkChange(b *testing.B) {
	dir := b.TempDir()
	m, stop := gatewayAt(b, dir, lockdb.NewMemory(), 0)
	defer stop()
	heard := make(chan lock.Change, b.N+1)
	for _, name := range []string{"smbd", "fusefs"} {
		dial(b, dir, name, func(e lock.Event) {
			if e.Change != nil && name == "fusefs" {
				heard <- *e.Change
			}
		})
	}
	nfs := m.Attach(lock.NFS, "nfs", nil)
	defer nfs.Detach()
	began := burnt("self")
	for range b.N {
		c := lock.Change{Key: lock.Key{FSID: 1, Ino: 8, Gen: 1}, Dir: lock.Key{FSID: 1, Ino: 7, Gen: 1}, Name: "a name", Action: lock.Added, Filter: 1}
		if err := nfs.Changed(context.Background(), c); err != nil {
			b.Fatal(err)
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 100_000}, nil) // more exact than a timer
	}
	for range b.N {
		<-heard
	}
	b.ReportMetric(float64((burnt("self")-began).Microseconds())/float64(b.N), "cpu-µs/change")
}
