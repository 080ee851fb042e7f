package hatch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dittofs/gateway/internal/hatch"
	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// desk is a counter that grants, blocks or refuses as a test says, and writes down what it was asked.
type desk struct {
	epoch    uint64
	answer   func(verb string, r any) lock.Outcome // nil: Granted
	silent   bool                                  // writes nothing down
	mu       sync.Mutex                            // guards the fields below
	asked    []string
	seats    []*deskSeat
	notified []string
	graceEnd int
}

type deskSeat struct {
	*desk
	name string
	sink func(lock.Event)
}

func (d *desk) Attach(door lock.Door, name string, sink func(lock.Event)) hatch.Seat {
	s := &deskSeat{d, name, sink}
	d.mu.Lock()
	defer d.mu.Unlock()
	if name != "admin" {
		d.seats = append(d.seats, s)
	}
	return s
}

func (d *desk) Epoch() uint64            { return d.epoch }
func (d *desk) GraceLeft() time.Duration { return 3 * time.Second }
func (d *desk) NSMState() int32          { return 7 }
func (d *desk) Hosts() (hs []lockdb.Host) {
	for i := range 600 {
		hs = append(hs, lockdb.Host{Name: fmt.Sprint("host", i), Address: "127.0.0.1", State: int32(i)})
	}
	return hs
}
func (d *desk) EndGrace() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.graceEnd++
}
func (d *desk) Notified(name, address string, state int32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notified = append(d.notified, fmt.Sprint(name, " ", address, " ", state))
	return true
}

func (d *desk) Revoke(f lock.Filter, dry bool) lock.Snapshot {
	d.say("revoke", f, "%s %v", f.ID, dry)
	return lock.Snapshot{Files: []lock.FileState{{Path: "p", Ranges: []lock.RangeState{{ID: f.ID, Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "host"}}}}}}}
}
func (d *desk) Denials(f lock.Filter) (list []lock.Denial) {
	for range 300 {
		list = append(list, lock.Denial{Path: f.Path, What: "lock 0-9 exclusive"})
	}
	return list
}
func (d *desk) Dismiss(c lock.Client) int {
	d.say("dismiss", c, "%v", c)
	return 3
}

func (d *desk) heard() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.asked)
}

// say notes a verb and decides it.
func (d *desk) say(verb string, r any, format string, args ...any) lock.Outcome {
	if d.silent {
		return lock.Granted
	}
	d.mu.Lock()
	d.asked = append(d.asked, strings.TrimSpace(verb+" "+fmt.Sprintf(format, args...)))
	d.mu.Unlock()
	if d.answer == nil {
		return lock.Granted
	}
	return d.answer(verb, r)
}

func claim(reclaim bool) string {
	if reclaim {
		return "again"
	}
	return ""
}

func (s *deskSeat) Borrow()        {}
func (s *deskSeat) Rested(uint64)  {}
func (s *deskSeat) Breaks() uint64 { return 0 }

func (s *deskSeat) Returned(_ context.Context, marks []uint32) error {
	s.say("returned", marks, "%v", marks)
	return nil
}
func (s *deskSeat) Open(_ context.Context, r lock.OpenRequest) (lock.OpenResult, error) {
	out := s.say("open", r, "%d %v %d %s", r.Open, r.Rights, r.Epoch, claim(r.Reclaim))
	if r.Path == "panic" {
		panic("the desk falls over")
	}
	return lock.OpenResult{Outcome: out, Rights: r.Rights, Epoch: r.Epoch + 1}, nil
}
func (s *deskSeat) Reconnect(_ context.Context, r lock.ReconnectRequest) (lock.ReconnectResult, error) {
	return lock.ReconnectResult{Outcome: s.say("reconnect", r, "%d %s", r.Open, r.User), Open: lock.OpenRequest{Open: r.Open, Owner: r.Owner, Private: []byte{1}},
		Ranges: []lock.LockRequest{{Open: r.Open, Length: 5}}}, nil
}
func (s *deskSeat) Close(_ context.Context, r lock.CloseRequest) (lock.CloseResult, error) {
	return lock.CloseResult{Outcome: s.say("close", r, "%d", r.Open), Delete: true}, nil
}
func (s *deskSeat) Access(_ context.Context, r lock.AccessRequest) (lock.Result, error) {
	return lock.Result{Outcome: s.say("access", r, "%d", r.ID)}, nil
}
func (s *deskSeat) Done(_ context.Context, id uint64, changed bool) error {
	s.say("done", id, "%d %v", id, changed)
	return nil
}
func (s *deskSeat) Lock(_ context.Context, r lock.LockRequest) (lock.Result, error) {
	wait := ""
	if r.Ticket != 0 {
		wait = "wait"
	}
	return lock.Result{Outcome: s.say("lock", r, "%d+%d %s%s", r.Offset, r.Length, claim(r.Reclaim), wait)}, nil
}
func (s *deskSeat) Unlock(_ context.Context, r lock.LockRequest) (lock.Result, error) {
	return lock.Result{Outcome: s.say("unlock", r, "%d+%d", r.Offset, r.Length)}, nil
}
func (s *deskSeat) Test(context.Context, lock.LockRequest) (lock.Result, error) {
	return lock.Result{Outcome: lock.Denied, Holder: &lock.Holder{Length: 5}}, nil
}
func (s *deskSeat) Cancel(_ context.Context, t uint64) (lock.Outcome, error) {
	return s.say("cancel", t, ""), nil
}
func (s *deskSeat) CancelLock(_ context.Context, r lock.LockRequest) (lock.Outcome, error) {
	return s.say("cancellock", r, ""), nil
}
func (s *deskSeat) Acknowledge(_ context.Context, a lock.Ack) (lock.Outcome, error) {
	return s.say("ack", a, "%v", a.Keep), nil
}
func (s *deskSeat) Disposition(_ context.Context, open uint64, pending bool) (lock.Outcome, error) {
	return s.say("disposition", open, "%d %v", open, pending), nil
}
func (s *deskSeat) Forget(_ context.Context, c lock.Client) error {
	s.say("forget", c, "%v", c)
	return nil
}
func (s *deskSeat) Changed(context.Context, lock.Change) error { return nil }
func (s *deskSeat) List(_ context.Context, f lock.Filter) (lock.Snapshot, error) {
	return lock.Snapshot{Epoch: s.epoch, Files: []lock.FileState{{Path: "a " + f.Path}}}, nil
}
func (s *deskSeat) Detach()   { s.say("detach", nil, "%s", s.name) }
func (s *deskSeat) Mustered() { s.say("mustered", nil, "") }

// logbook keeps log lines.
type logbook struct {
	mu    sync.Mutex // guards the field below
	lines []string
	news  chan struct{}
}

func newLogbook() *logbook { return &logbook{news: make(chan struct{}, 1000)} }

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(bytes.TrimSpace(p)))
	b.news <- struct{}{}
	return len(p), nil
}

func (b *logbook) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "pid" || a.Key == slog.LevelKey || a.Key == "stack" {
			return slog.Attr{}
		}
		return a
	}}))
}

// until waits for a line with text in it, and returns all lines to there.
func (b *logbook) until(t testing.TB, text string) []string {
	t.Helper()
	for {
		b.mu.Lock()
		for i, l := range b.lines {
			if strings.Contains(l, text) {
				defer b.mu.Unlock()
				return slices.Clone(b.lines[:i+1])
			}
		}
		b.mu.Unlock()
		select {
		case <-b.news:
		case <-time.After(10 * time.Second):
			t.Fatalf("no line with %q in %q", text, b.lines)
		}
	}
}

// house serves a desk until stop.
func house(t testing.TB, dir string, d *desk) (h *hatch.House, book *logbook, stop func()) {
	t.Helper()
	book = newLogbook()
	h = hatch.New(hatch.Config{Dir: dir, Counter: d, Log: book.log(), Version: "test"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return h, book, stop
}

func dial(t testing.TB, dir, name string, sink func(lock.Event)) *ipc.Client {
	t.Helper()
	c, err := ipc.Dial(context.Background(), filepath.Join(dir, name+".sock"), ipc.Options{Name: name, Door: hatch.Doors[name], Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Hangup)
	return c
}

var (
	smb  = lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Handle: 1}
	file = lock.Key{FSID: 1, Ino: 2, Gen: 3}
)

// After the gateway was killed and came back, the door presents what it held, in order, before anything new: what was closed or unlocked
// meanwhile is not in it, who waits is answered by the new counter, and the session list is whole again.
func TestTheDoorComesBack(t *testing.T) {
	dir := t.TempDir()
	first := &desk{epoch: 1, answer: func(_ string, r any) lock.Outcome {
		if l, ok := r.(lock.LockRequest); ok && l.Ticket != 0 && l.Offset == 90 {
			return lock.Blocked
		}
		return lock.Granted
	}}
	_, _, kill := house(t, dir, first)
	events := make(chan lock.Event, 10)
	c := dial(t, dir, "smbd", func(e lock.Event) { events <- e })
	ctx := t.Context()
	must := func(out lock.Outcome, err error) {
		t.Helper()
		if err != nil || out != lock.Granted {
			t.Fatal(out, err)
		}
	}
	for n := uint64(1); n <= 3; n++ {
		r := lock.OpenRequest{Open: n, Key: file, Owner: smb, Kind: lock.Oplock, Rights: lock.R | lock.W}
		res, err := c.Manager.Open(ctx, r)
		must(res.Outcome, err)
	}
	for _, offset := range []uint64{0, 10} {
		res, err := c.Manager.Lock(ctx, lock.LockRequest{Key: file, Owner: smb, Open: 1, Offset: offset, Length: 10})
		must(res.Outcome, err)
	}
	res, err := c.Unlock(ctx, lock.LockRequest{Key: file, Owner: smb, Open: 1, Offset: 0, Length: 10})
	must(res.Outcome, err)
	cres, err := c.Close(ctx, lock.CloseRequest{Open: 2})
	must(cres.Outcome, err)
	must(c.Acknowledge(ctx, lock.Ack{Open: 3, Keep: lock.R}))
	must(c.Disposition(ctx, 3, true))
	res, done, err := c.Access(ctx, lock.AccessRequest{Key: file, Owner: smb, Op: lock.OpWrite}, time.Second, nil)
	must(res.Outcome, err)
	session := ipc.Session{ID: 5, User: "u", Share: []string{"demo"}}
	if err := errors.Join(c.Serving(ctx, map[string]string{"smb": "127.0.0.1:445"}), c.Session(ctx, session, false)); err != nil {
		t.Fatal(err)
	}

	type answer struct {
		res lock.Result
		err error
	}
	blocked, waiter := make(chan struct{}), make(chan answer, 1)
	go func() {
		res, err := c.Lock(ctx, lock.LockRequest{Key: file, Owner: smb, Open: 1, Offset: 90, Length: 10}, func() { close(blocked) })
		waiter <- answer{res, err}
	}()
	<-blocked

	kill()
	if got, want := first.heard()[len(first.heard())-1], "detach smbd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	fresh := make(chan answer, 1)
	go func() { // asked while there is no gateway
		res, err := c.Manager.Lock(ctx, lock.LockRequest{Key: file, Owner: smb, Open: 1, Offset: 50, Length: 10})
		fresh <- answer{res, err}
	}()
	second := &desk{epoch: 2}
	h, _, _ := house(t, dir, second)
	if a := <-waiter; a.err != nil || a.res.Outcome != lock.Granted {
		t.Errorf("who waited: %+v", a)
	}
	if a := <-fresh; a.err != nil || a.res.Outcome != lock.Granted {
		t.Errorf("who came meanwhile: %+v", a)
	}
	got := second.heard()
	slices.Sort(got[:2]) // they travel at once
	want := []string{"open 1 RW 1 again", "open 3 R 1 again", "disposition 3 true", "lock 10+10 again", "mustered", "access " + accessID(first), "lock 90+10 wait", "lock 50+10"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if c.Epoch() != 2 {
		t.Errorf("epoch %d", c.Epoch())
	}
	if got := h.Sessions(); !reflect.DeepEqual(got, []ipc.Session{session}) {
		t.Errorf("%+v", got)
	}
	if got := h.Status().Serving(); !reflect.DeepEqual(got, map[string]string{"smb": "127.0.0.1:445"}) {
		t.Errorf("%+v", got)
	}
	done(true)
	if got := second.heard(); got[len(got)-1] != "done "+accessID(first)+" true" {
		t.Errorf("%q", got)
	}
	if len(events) != 0 {
		t.Errorf("%+v", <-events)
	}
}

func accessID(d *desk) string {
	for _, a := range d.heard() {
		if id, ok := strings.CutPrefix(a, "access "); ok {
			return id
		}
	}
	return ""
}

// Whatever the moment at which the gateway dies, every range that the door was told is granted, and no other, is presented to the last one.
func TestKilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	d := &desk{epoch: 1}
	_, _, kill := house(t, dir, d)
	c := dial(t, dir, "fusefs", nil)
	owner := lock.Owner{Client: lock.Client{Door: lock.Local}, Handle: 1}
	var asking sync.WaitGroup
	var held sync.Map
	stop := make(chan struct{})
	for w := range uint64(8) {
		asking.Go(func() {
			for i := uint64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				r := lock.LockRequest{Key: file, Owner: owner, Offset: w<<32 + i*2, Length: 1, Exclusive: true}
				if res, err := c.Manager.Lock(t.Context(), r); err != nil || res.Outcome != lock.Granted {
					t.Error(res, err)
					return
				}
				if i%3 == 0 {
					if _, err := c.Unlock(t.Context(), r); err != nil {
						t.Error(err)
						return
					}
					continue
				}
				held.Store(fmt.Sprintf("lock %d+1 again", r.Offset), true)
			}
		})
	}
	for range 5 {
		for asked := 0; asked < 200; asked = len(d.heard()) {
			runtime.Gosched()
		}
		kill()
		d = &desk{epoch: d.epoch + 1}
		_, _, kill = house(t, dir, d)
	}
	close(stop)
	asking.Wait()
	kill()
	last := &desk{epoch: 99}
	house(t, dir, last)
	if _, err := c.Test(t.Context(), lock.LockRequest{}); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, a := range last.heard() {
		if a != "mustered" {
			got = append(got, a)
		}
	}
	held.Range(func(k, _ any) bool { want = append(want, k.(string)); return true })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d ranges presented, %d held", len(got), len(want))
	}
}

// A lease that does not come back is a break to its holder.
func TestLostLeaseIsABreak(t *testing.T) {
	dir := t.TempDir()
	_, _, kill := house(t, dir, &desk{epoch: 1})
	events := make(chan lock.Event, 10)
	c := dial(t, dir, "smbd", func(e lock.Event) { events <- e })
	r := lock.OpenRequest{Open: 1, Key: file, Owner: smb, Kind: lock.LeaseV2, LeaseKey: lock.GUID{9}, Rights: lock.R | lock.H, Epoch: 4}
	if _, err := c.Manager.Open(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	kill()
	house(t, dir, &desk{epoch: 2, answer: func(string, any) lock.Outcome { return lock.SharingDenied }})
	want := lock.Break{Key: file, Client: smb.Client.GUID, LeaseKey: lock.GUID{9}, Kind: lock.LeaseV2, Open: 1, From: lock.R | lock.H, Epoch: 5}
	if e := <-events; e.Break == nil || *e.Break != want {
		t.Errorf("got %+v\nwant %+v", e.Break, want)
	}
}

// Events come in order, whatever their number; an Answer goes to the call that waits for it.
func TestEventsInOrder(t *testing.T) {
	const many = 5000
	dir := t.TempDir()
	d := &desk{epoch: 1, answer: func(verb string, _ any) lock.Outcome {
		if verb == "lock" {
			return lock.Blocked
		}
		return lock.Granted
	}}
	house(t, dir, d)
	got := make(chan lock.Event, 2*many)
	c := dial(t, dir, "fusefs", func(e lock.Event) { got <- e })
	answered := make(chan lock.Result)
	blocked := make(chan struct{})
	go func() {
		res, _ := c.Lock(t.Context(), lock.LockRequest{Key: file}, func() { close(blocked) })
		answered <- res
	}()
	<-blocked
	sink := d.seats[0].sink
	go func() {
		for i := range uint64(many) {
			sink(lock.Event{Change: &lock.Change{Key: lock.Key{Ino: i}, Name: "n", By: lock.SMB}})
			if i == many/2 {
				sink(lock.Event{Answer: &lock.Answer{Ticket: 1, Outcome: lock.Deadlock, Holder: &lock.Holder{Length: 3}}})
				sink(lock.Event{Answer: &lock.Answer{Ticket: 99, Outcome: lock.Granted}})
			}
		}
	}()
	if res := <-answered; res.Outcome != lock.Deadlock || res.Holder.Length != 3 {
		t.Errorf("%+v", res)
	}
	for i := range uint64(many) {
		if e := <-got; e.Change == nil || e.Change.Key.Ino != i {
			t.Fatalf("event %d is %+v", i, e)
		}
		if i == many/2 {
			if e := <-got; e.Answer == nil || e.Answer.Ticket != 99 {
				t.Errorf("%+v", e)
			}
		}
	}
}

// Wrong bytes end their connection with one line; the others go on.
func TestWrongBytes(t *testing.T) {
	dir := t.TempDir()
	_, book, _ := house(t, dir, &desk{epoch: 1})
	c := dial(t, dir, "smbd", nil)
	path := filepath.Join(dir, "lockd.sock")
	for _, in := range []string{"GET / HTTP/1.1\r\n\r\n", "\xff\xff\xff\xff\x00\x00\x00\x01\x01\x00", "\x00\x00\x00\x03\x00\x00\x00\x01\x01\x00\x0a\x09a"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(in))
		if out, _ := io.ReadAll(conn); len(out) != 0 {
			t.Errorf("%q was answered %q", in, out)
		}
		conn.Close()
	}
	want := []string{`msg="daemon came" hatch=smbd`,
		`msg="connection ended" hatch=lockd err="frame of type 84"`,
		`msg="connection ended" hatch=lockd err="frame of 4294967295 bytes"`,
		`msg="connection ended" hatch=lockd err="request: unexpected EOF"`}
	if got := book.until(t, "unexpected EOF"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if res, err := c.Test(t.Context(), lock.LockRequest{}); err != nil || res.Outcome != lock.Denied || res.Holder.Length != 5 {
		t.Errorf("%+v, %v", res, err)
	}
}

// Who says Hello at another's hatch, or where somebody stands already, gets no seat.
func TestHello(t *testing.T) {
	dir := t.TempDir()
	d := &desk{epoch: 1}
	house(t, dir, d)
	dial(t, dir, "smbd", nil)
	for _, c := range []struct {
		hatch, name string
		door        lock.Door
		want        string
	}{
		{"lockd", "smbd", lock.SMB, "smbd by smb is at lockd's hatch"},
		{"lockd", "lockd", lock.SMB, "lockd by smb is at lockd's hatch"},
		{"smbd", "smbd", lock.SMB, fmt.Sprintf("process %d stands at smbd's hatch", os.Getpid())},
	} {
		book := newLogbook()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			select {
			case <-book.news: // the refusal
			case <-ctx.Done():
			}
			cancel()
		}()
		_, err := ipc.Dial(ctx, filepath.Join(dir, c.hatch+".sock"), ipc.Options{Name: c.name, Door: c.door, Log: book.log()})
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if len(d.seats) != 1 {
		t.Errorf("%d seats", len(d.seats))
	}
}

// A seat can be taken again as soon as the one who had it is gone.
func TestSeatIsFreeAgain(t *testing.T) {
	dir := t.TempDir()
	d := &desk{epoch: 1}
	house(t, dir, d)
	for range 3 {
		dial(t, dir, "lockd", nil).Hangup()
	}
	dial(t, dir, "lockd", nil)
	if got, want := d.heard(), []string{"mustered", "detach lockd", "mustered", "detach lockd", "mustered", "detach lockd", "mustered"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// A panic is an error to the one who asked, and a line with a stack; the gateway lives on.
func TestPanic(t *testing.T) {
	dir := t.TempDir()
	_, book, _ := house(t, dir, &desk{epoch: 1})
	c := dial(t, dir, "smbd", nil)
	if _, err := c.Manager.Open(t.Context(), lock.OpenRequest{Open: 1, Path: "panic"}); err == nil || !strings.Contains(err.Error(), "contradicts itself") {
		t.Errorf("%v", err)
	}
	book.until(t, `msg=panic hatch=smbd method=/dittofs.ipc.Counter/Open panic="the desk falls over"`)
	if _, err := c.Test(t.Context(), lock.LockRequest{}); err != nil {
		t.Error(err)
	}
}

// A request while the gateway is away ends with its context.
func TestAskingWhileAway(t *testing.T) {
	dir := t.TempDir()
	_, _, kill := house(t, dir, &desk{epoch: 1})
	c := dial(t, dir, "smbd", nil)
	kill()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Test(ctx, lock.LockRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	c.Hangup()
	if _, err := c.Test(t.Context(), lock.LockRequest{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestNSM(t *testing.T) {
	dir := t.TempDir()
	d := &desk{epoch: 1}
	house(t, dir, d)
	c := dial(t, dir, "statd", nil)
	n, err := c.NSM(t.Context())
	if err != nil || n.State != 7 || len(n.Hosts) != 600 || n.Hosts[599] != (ipc.Host{Name: "host599", Address: "127.0.0.1", State: 599}) {
		t.Errorf("%+v, %v", n, err)
	}
	freed, err := c.Notified(t.Context(), "host\xff", "127.0.0.1", 9)
	if err != nil || !freed || !reflect.DeepEqual(d.notified, []string{"host\xff 127.0.0.1 9"}) {
		t.Errorf("%v, %v, %q", freed, err, d.notified)
	}
	if _, err := dial(t, dir, "lockd", nil).Notified(t.Context(), "host", "127.0.0.1", 9); err == nil {
		t.Error("lockd may not bring SM_NOTIFY")
	}
}

func TestAdmin(t *testing.T) {
	dir := t.TempDir()
	d := &desk{epoch: 4}
	h, book, _ := house(t, dir, d)
	h.Set(map[string]string{"nfs": "127.0.0.1:2049"})
	c := dial(t, dir, "smbd", nil)
	ctx := t.Context()
	for i := range uint64(600) {
		if err := c.Session(ctx, ipc.Session{ID: i, User: "u"}, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Session(ctx, ipc.Session{ID: 5}, true), c.Serving(ctx, map[string]string{"smb": ":445"})); err != nil {
		t.Fatal(err)
	}
	a, err := ipc.DialAdmin(ctx, filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	st, err := a.Status(ctx)
	if err != nil || st.Started.IsZero() || len(st.Daemons) != 5 || st.Daemons[3].Since.IsZero() {
		t.Fatalf("%+v, %v", st, err)
	}
	pid := int32(os.Getpid())
	st.Started, st.Daemons[0].Since, st.Daemons[3].Since = time.Time{}, time.Time{}, time.Time{}
	want := ipc.Status{Version: "test", Epoch: 4, Grace: 3 * time.Second, Daemons: []ipc.Daemon{
		{Name: "gateway", PID: pid, Doors: map[string]string{"nfs": "127.0.0.1:2049"}},
		{Name: "fusefs"}, {Name: "lockd"}, {Name: "smbd", PID: pid, Doors: map[string]string{"smb": ":445"}}, {Name: "statd"}}}
	if !reflect.DeepEqual(st, want) {
		t.Errorf("got %+v\nwant %+v", st, want)
	}
	if ss, err := a.Sessions(ctx); err != nil || len(ss) != 599 || ss[5].ID != 6 {
		t.Errorf("%d sessions, %v", len(ss), err)
	}
	if s, err := a.List(ctx, lock.Filter{Path: "dir"}); err != nil || s.Epoch != 4 || len(s.Files) != 1 || s.Files[0].Path != "a dir" {
		t.Errorf("%+v, %v", s, err)
	}
	if held, err := a.Forget(ctx, lock.Client{Door: lock.NLM, Name: "host"}); errors.Join(err, a.EndGrace(ctx)) != nil || held != 3 || d.graceEnd != 1 || !slices.Contains(d.heard(), "dismiss nlm:host") {
		t.Errorf("%v, %q", err, d.heard())
	}
	if _, err := a.Forget(ctx, lock.Client{Door: lock.Local}); err == nil {
		t.Error("local programs were forgotten")
	}
	if hs, err := a.Hosts(ctx); err != nil || len(hs) != 600 || hs[599].Name != "host599" {
		t.Errorf("%d hosts, %v", len(hs), err)
	}
	if ds, err := a.Denials(ctx, lock.Filter{Path: "dir"}); err != nil || len(ds) != 300 || ds[299].Path != "dir" {
		t.Errorf("%d denials, %v", len(ds), err)
	}
	for _, dry := range []bool{true, false} {
		if s, err := a.Break(ctx, ipc.BreakRequest{Filter: lock.Filter{ID: "r1"}, DryRun: dry}); err != nil || len(s.Files) != 1 || s.Files[0].Ranges[0].ID != "r1" {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if h := d.heard(); !slices.Equal(h[len(h)-2:], []string{"revoke r1 true", "revoke r1 false"}) {
		t.Errorf("%q", h)
	}
	// Who took what away is in the log.
	lines := book.until(t, "taken away")
	want1 := fmt.Sprintf(`msg="taken away by the administrator" hatch=admin uid=%d id=r1 kind=range path=p file=0:0:0 owner=nlm:host:0: user="" offset=0 length=0 exclusive=false`, os.Getuid())
	if l := lines[len(lines)-1]; !strings.HasPrefix(l, want1) {
		t.Errorf("got  %s\nwant %s", l, want1)
	}
	for _, f := range []lock.Filter{{}, {User: "u", Kind: lock.KindRange}, {Path: "/no/export"}} {
		if _, err := a.Break(ctx, ipc.BreakRequest{Filter: f}); err == nil {
			t.Errorf("a break of %+v went through", f)
		}
	}
}

// A socket that a killed gateway left is replaced; one that answers is not.
func TestSockets(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "smbd.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	house(t, dir, &desk{})
	dial(t, dir, "smbd", nil)
	for _, name := range []string{"smbd", "admin", "trees"} {
		if fi, err := os.Stat(filepath.Join(dir, name+".sock")); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", fi, err)
		}
	}
	err = hatch.New(hatch.Config{Dir: dir, Counter: &desk{}}).Serve(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "admin.sock: another gateway serves it") && !strings.HasSuffix(err.Error(), "fusefs.sock: another gateway serves it") {
		t.Errorf("%v", err)
	}
}

// BenchmarkLock is one LOCK from a daemon's call to its return.
func BenchmarkLock(b *testing.B) {
	dir := b.TempDir()
	house(b, dir, &desk{silent: true})
	c := dial(b, dir, "lockd", nil)
	r := lock.LockRequest{FH: make([]byte, 32), Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "host"}, PID: 7, OH: "owner"}, Length: 10, Exclusive: true, Watch: "192.0.2.1"}
	b.ReportAllocs()
	for b.Loop() {
		if res, err := c.Manager.Lock(b.Context(), r); err != nil || res.Outcome != lock.Granted {
			b.Fatal(res, err)
		}
	}
}
