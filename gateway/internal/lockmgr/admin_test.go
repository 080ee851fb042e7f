package lockmgr_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

// counted begins a counter with metrics; value is the sum over a family's series with a label of this value.
func counted(t *testing.T, cfg lockmgr.Config) (m *lockmgr.Manager, value func(family, label string) float64) {
	t.Helper()
	v, start, err := lockdb.Begin(lockdb.Config{Dir: t.TempDir(), Store: memory(t), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	reg := prometheus.NewPedanticRegistry()
	return lockmgr.New(cfg, start, v, quiet, reg), func(family, label string) (sum float64) {
		t.Helper()
		fs, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fs {
			for _, s := range f.Metric {
				for _, l := range s.Label {
					if f.GetName() == family && l.GetValue() == label {
						sum += s.Counter.GetValue() + s.Gauge.GetValue() + float64(s.Histogram.GetSampleCount())
					}
				}
			}
		}
		return sum
	}
}

func at(ino int) lock.Key { return lock.Key{FSID: 1, Ino: uint64(ino), Gen: 1} }

func fromHost(n int) lock.Owner {
	return lock.Owner{Client: lock.Client{Door: lock.NLM, Name: fmt.Sprint("host", n)}, PID: 7, OH: "oh"}
}

func next(t *testing.T, told <-chan lock.Event) lock.Event {
	t.Helper()
	select {
	case e := <-told:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("the door is told nothing")
	}
	return lock.Event{}
}

// Each refusal can be explained: who asked, why it was refused, who stood in the way, and how often.
func TestDenials(t *testing.T) {
	m, value := counted(t, lockmgr.Config{RangesPerFile: 2, RangesPerClient: 3, WaitersPerFile: 1})
	s := m.Attach(lock.NLM, "lockd", nil)
	ask := func(r lock.LockRequest, want lock.Outcome) {
		t.Helper()
		if res, err := s.Lock(ctx, r); err != nil || res.Outcome != want {
			t.Fatalf("%+v: %v, %v", r, res.Outcome, err)
		}
	}
	a, b := fromHost(1), fromHost(2)
	ask(lock.LockRequest{Key: at(1), Owner: a, Length: 10, Exclusive: true, Path: "f"}, lock.Granted)
	for range 3 {
		ask(lock.LockRequest{Key: at(1), Owner: b, User: "ann", Length: 5}, lock.Denied)
	}
	ask(lock.LockRequest{Key: at(1), Owner: b, Length: 5, Ticket: 1}, lock.Blocked)
	ask(lock.LockRequest{Key: at(1), Owner: fromHost(3), Length: 5, Ticket: 2}, lock.Limit)
	if out, err := s.Cancel(ctx, 1); out != lock.Cancelled || err != nil {
		t.Fatal(out, err)
	}
	ask(lock.LockRequest{Key: at(1), Owner: a, Offset: 20, Length: 1}, lock.Granted)
	ask(lock.LockRequest{Key: at(1), Owner: a, Offset: 30, Length: 1}, lock.Limit)
	ask(lock.LockRequest{Key: at(2), Owner: a, Length: 1, Path: "g"}, lock.Granted)
	ask(lock.LockRequest{Key: at(2), Owner: a, Offset: 9, Length: 1}, lock.Limit)
	holder := &lock.Holder{Owner: a, Exclusive: true, Length: 10}
	want := []lock.Denial{
		{Times: 3, Key: at(1), Path: "f", Owner: b, User: "ann", What: "lock 0-4 shared", Outcome: lock.Denied, Holder: holder},
		{Times: 1, Key: at(1), Path: "f", Owner: fromHost(3), What: "lock 0-4 shared", Outcome: lock.Limit, Limit: "waiters_per_file", Holder: holder},
		{Times: 1, Key: at(1), Path: "f", Owner: b, What: "lock 0-4 shared", Outcome: lock.Cancelled, Holder: holder},
		{Times: 1, Key: at(1), Path: "f", Owner: a, What: "lock 30-30 shared", Outcome: lock.Limit, Limit: "ranges_per_file"},
		{Times: 1, Key: at(2), Path: "g", Owner: a, What: "lock 9-9 shared", Outcome: lock.Limit, Limit: "ranges_per_client"},
	}
	got := m.Denials(lock.Filter{})
	for i := range got {
		if got[i].At.IsZero() || (got[i].Waited > 0) != (got[i].Outcome == lock.Cancelled) {
			t.Errorf("when: %+v", got[i])
		}
		got[i].At, got[i].Waited = time.Time{}, 0
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	for _, c := range []struct {
		f lock.Filter
		n int
	}{{lock.Filter{Path: "g"}, 1}, {lock.Filter{Key: at(1)}, 4}, {lock.Filter{Client: "host2"}, 2}, {lock.Filter{Client: "nlm:host2"}, 2},
		{lock.Filter{Client: "nlm:host"}, 0}, {lock.Filter{User: "ann"}, 1}, {lock.Filter{Door: lock.SMB}, 0}} {
		if ds := m.Denials(c.f); len(ds) != c.n {
			t.Errorf("%+v: %d denials, want %d", c.f, len(ds), c.n)
		}
	}
	for _, c := range []struct {
		family, label string
		n             float64
	}{
		{"dittofs_lock_limit_hits_total", "ranges_per_file", 1}, {"dittofs_lock_limit_hits_total", "ranges_per_client", 1}, {"dittofs_lock_limit_hits_total", "waiters_per_file", 1},
		{"dittofs_lock_denials_total", "denied", 3}, {"dittofs_lock_denials_total", "limit", 3}, {"dittofs_lock_denials_total", "cancelled", 1},
		{"dittofs_lock_grants_total", "nlm", 3}, {"dittofs_lock_wait_seconds", "range", 1}, {"dittofs_locks", "nlm", 3},
	} {
		if n := value(c.family, c.label); n != c.n {
			t.Errorf("%s{%s} is %v, want %v", c.family, c.label, n, c.n)
		}
	}

	// The latest 1,024 are remembered.
	ask(lock.LockRequest{Key: at(3), Owner: fromHost(4), Length: 5, Exclusive: true}, lock.Granted)
	for i := range 1030 {
		ask(lock.LockRequest{Key: at(3), Owner: fromHost(100 + i), Length: 5}, lock.Denied)
	}
	if ds := m.Denials(lock.Filter{}); len(ds) != 1024 || ds[0].Owner != fromHost(106) || ds[1023].Owner != fromHost(1129) {
		t.Errorf("%d denials from %v to %v", len(ds), ds[0].Owner, ds[len(ds)-1].Owner)
	}
}

// What is taken away goes to who waits; a dry run takes nothing; opens of local programs stay.
func TestRevoke(t *testing.T) {
	m, value := counted(t, lockmgr.Config{})
	nlm, told := m.Attach(lock.NLM, "lockd", nil), make(chan lock.Event, 10)
	local := m.Attach(lock.Local, "fusefs", func(e lock.Event) { told <- e })
	prog := lock.Owner{Client: lock.Client{Door: lock.Local}, PID: 77, Handle: 5}
	if _, err := nlm.Lock(ctx, lock.LockRequest{Key: at(1), Owner: fromHost(1), Length: 10, Exclusive: true, Path: "f"}); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(ctx, lock.OpenRequest{Open: 5, Key: at(1), Owner: prog, Access: lock.Read, Share: lock.ShareAll}); err != nil {
		t.Fatal(err)
	}
	if res, err := local.Lock(ctx, lock.LockRequest{Key: at(1), Owner: prog, Length: 1, Exclusive: true, Ticket: 3}); res.Outcome != lock.Blocked || err != nil {
		t.Fatal(res, err)
	}
	before := m.List(lock.Filter{})
	for range 2 {
		if s := m.Revoke(lock.Filter{Path: "f"}, true); len(s.Files) != 1 || len(s.Files[0].Opens) != 0 || len(s.Files[0].Ranges) != 1 || len(s.Files[0].Waiters) != 1 {
			t.Errorf("a dry run says %+v", s)
		}
	}
	if after := m.List(lock.Filter{}); !reflect.DeepEqual(after, before) || len(told) != 0 {
		t.Errorf("a dry run changed\n%+v to\n%+v", before, after)
	}
	m.Revoke(lock.Filter{Path: "f", Kind: lock.KindRange}, false)
	if e := next(t, told); e.Answer == nil || e.Answer.Ticket != 3 || e.Answer.Outcome != lock.Granted {
		t.Errorf("who waited was told %+v", e)
	}
	if st := m.List(lock.Filter{}).Files[0]; len(st.Ranges) != 1 || st.Ranges[0].Owner != prog || len(st.Opens) != 1 {
		t.Errorf("left: %+v", st)
	}
	m.Revoke(lock.Filter{Client: "local:77"}, false)
	if e := next(t, told); e.Gone == nil || *e.Gone != (lock.Gone{Key: at(1), Range: true, Owner: prog, Length: 1, Exclusive: true}) {
		t.Errorf("who held was told %+v", e)
	}
	if st := m.List(lock.Filter{}).Files[0]; len(st.Ranges) != 0 || len(st.Opens) != 1 {
		t.Errorf("left: %+v", st)
	}
	if n := value("dittofs_lock_revoked_total", "range"); n != 2 {
		t.Errorf("%v ranges were revoked, want 2", n)
	}
}

// Forgetting a host frees its locks, tells its door of its opens, and takes it off the record.
func TestDismiss(t *testing.T) {
	m, _ := counted(t, lockmgr.Config{})
	told := make(chan lock.Event, 10)
	s := m.Attach(lock.NLM, "lockd", func(e lock.Event) { told <- e })
	for n := range 2 {
		if res, err := s.Lock(ctx, lock.LockRequest{Key: at(1), Owner: fromHost(n), Length: 10, Watch: "192.0.2.1"}); err != nil || res.Outcome != lock.Granted {
			t.Fatal(res, err)
		}
	}
	if res, err := s.Open(ctx, lock.OpenRequest{Open: 5, Key: at(1), Owner: fromHost(1), Access: lock.Read, Share: lock.ShareAll}); err != nil || res.Outcome != lock.Granted {
		t.Fatal(res, err)
	}
	if n := m.Dismiss(lock.Client{Door: lock.NLM, Name: "host1"}); n != 2 {
		t.Errorf("it held %d, want 2", n)
	}
	if e := next(t, told); e.Gone == nil || *e.Gone != (lock.Gone{Key: at(1), Open: 5, Owner: fromHost(1)}) {
		t.Errorf("the door was told %+v", e)
	}
	if st := m.List(lock.Filter{}).Files; len(st) != 1 || len(st[0].Ranges) != 1 || len(st[0].Opens) != 0 {
		t.Errorf("left: %+v", st)
	}
	if hs := m.Hosts(); len(hs) != 1 || hs[0].Name != "host0" {
		t.Errorf("on record: %+v", hs)
	}
}
