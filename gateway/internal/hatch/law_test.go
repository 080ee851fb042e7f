package hatch_test

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"dittofs/gateway/internal/hatch"
	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/locktest"
)

type seats struct{ *lockmgr.Manager }

func (s seats) Attach(door lock.Door, name string, sink func(lock.Event)) hatch.Seat {
	return s.Manager.Attach(door, name, sink)
}
func (s seats) NSMState() int32 { return 1 }

// The law holds through the socket as it does in memory, and whether or not the local door and SMB's opens ask for what they may do without.
func TestLaw(t *testing.T) {
	for name, describe := range map[string]func(*lock.OpenRequest){"asks": nil, "quiet": func(*lock.OpenRequest) {}} {
		t.Run(name, func(t *testing.T) { law(t, describe) })
	}
}

func law(t *testing.T, describe func(*lock.OpenRequest)) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	locktest.Run(t, func(t *testing.T, s locktest.Settings) locktest.Attach {
		v, start, err := lockdb.Begin(lockdb.Config{Dir: t.TempDir(), Store: lockdb.NewMemory(), Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		m := lockmgr.New(lockmgr.Config{UnlinkOpen: s.UnlinkOpen, BrlRead: s.BrlRead, RangesPerFile: s.RangesPerFile, WaitersPerFile: s.WaitersPerFile}, start, v, quiet, nil)
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan struct{})
		go func() { hatch.New(hatch.Config{Dir: dir, Counter: seats{m}, Log: quiet}).Serve(ctx); close(served) }()
		t.Cleanup(func() { cancel(); <-served; v.Close() })
		return func(door lock.Door, name string, sink func(lock.Event)) (lock.Manager, func()) {
			if door == lock.NFS {
				seat := m.Attach(door, name, sink)
				return seat, seat.Detach
			}
			c, err := ipc.Dial(ctx, filepath.Join(dir, name+".sock"), ipc.Options{Door: door, Name: name, Log: quiet, Sink: sink, Describe: describe, Eases: describe != nil})
			if err != nil {
				t.Fatal(err)
			}
			return c.Manager, c.Hangup
		}
	})
}
