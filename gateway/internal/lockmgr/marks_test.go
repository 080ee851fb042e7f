package lockmgr_test

import (
	"testing"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

// After a restart no mark is lent before every door has presented what it held, whatever the local door asks or tells meanwhile.
func TestNoMarkBeforeTheMuster(t *testing.T) {
	disk := memory(t)
	for range 2 { // the second run is a restart
		v, start, err := lockdb.Begin(lockdb.Config{Store: disk, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		m := lockmgr.New(lockmgr.Config{Expect: []string{"fusefs", "smbd"}}, start, v, quiet, nil)
		lent := make(chan bool, 100)
		local := m.Attach(lock.Local, "fusefs", func(e lock.Event) {
			if e.Mark != nil {
				lent <- e.Mark.Lent
			}
		})
		local.Borrow()
		local.Mustered()
		if start.Epoch > 1 {
			for range 10 {
				local.Changed(ctx, lock.Change{Key: file, Action: lock.Modified})
			}
			select {
			case <-lent:
				t.Error("a mark was lent before smbd presented its opens")
			default:
			}
			m.Attach(lock.SMB, "smbd", nil).Mustered()
			local.Changed(ctx, lock.Change{Key: file, Action: lock.Modified})
			if !<-lent {
				t.Error("a mark was called back that was not lent")
			}
		}
		local.Detach()
		v.Close()
	}
}
