package ipc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	clog "github.com/containerd/log"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
)

func init() {
	// ttrpc logs through logrus, which nothing else here uses; both ends report what matters through slog.
	clog.L.Logger.SetOutput(io.Discard)
}

// Options say who comes to the counter.
type Options struct {
	Door lock.Door
	Name string // the daemon's and its hatch's: "lockd", "statd", "smbd", "fusefs"
	Log  *slog.Logger
	// Sink gets every event but the Answers that a blocking call of the Seat took, in order, from one goroutine. It may ask the counter.
	// A Granted Answer that finds nobody who wants it is the Sink's to release.
	Sink func(lock.Event)
	// Breaks, if not nil, gets the breaks instead. told is to be called once the client was told, or cannot be: by then calls wait for
	// it that the break came before.
	Breaks func(b lock.Break, told func())
	// Describe, if not nil, says that the door borrows quiet marks. It fills in Path and User of an open that was made without them.
	Describe func(r *lock.OpenRequest)
	// Eases says that the door takes the ease of its opens (lock/ease.go): reading and writing that costs no question.
	Eases bool
	// Ended, if not nil, is told when the Client gives up: the gateway came back as another version.
	Ended func(error)
}

// Client is a daemon's seat at the counter. Its Open, Lock and Access block; Manager is the counter as it is. Ticket, open and access
// numbers come from Number.
//
// When the connection ends, the Client comes back by itself, for ever, and presents again what the door holds. Meanwhile requests wait,
// at most Deadline. Only to a gateway of another version it cannot come back.
type Client struct {
	*seat.Seat
	counter *counter
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// Dial comes to the gateway's hatch at path and waits for a gateway to be there. Once ctx has ended, the daemon's, nobody waits any more for
// a gateway that is away: it may wait for this daemon to stop. Hangup ends the Client.
func Dial(ctx context.Context, path string, o Options) (*Client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m := &counter{path: path, options: o, stopping: ctx.Done(), ledger: newLedger(), events: newQueue(), ready: make(chan struct{})}
	c := &Client{Seat: seat.New(m), counter: m, cancel: cancel}
	m.deliver, m.quiet.ledger = c.Seat.Deliver, m.ledger
	c.done.Go(func() { m.sink(life) })
	l, err := m.come(ctx, life)
	if err != nil {
		cancel()
		c.done.Wait()
		return nil, err
	}
	c.done.Go(func() { m.stay(life, l) })
	return c, nil
}

// Hangup leaves the counter: what the seat held ends there, but for NLM locks and durable opens.
func (c *Client) Hangup() {
	c.cancel()
	c.done.Wait()
}

// Unheard reports whether nobody would hear of a change: no open of SMB or NLM is on any file.
func (c *Client) Unheard() bool { return c.counter.quiet.unheard() }

// Epoch returns the gateway's epoch: one higher after each of its restarts.
func (c *Client) Epoch() uint64 {
	c.counter.mu.Lock()
	defer c.counter.mu.Unlock()
	return c.counter.epoch
}

// Serving tells the gateway which doors answer where: "nlm" → HOST:PORT.
func (c *Client) Serving(ctx context.Context, doors map[string]string) error {
	return c.counter.ask(ctx, func(ctx context.Context, l *line) error {
		_, err := l.rpc.Serving(ctx, &lockpb.Doors{Doors: doors})
		if err == nil {
			c.counter.ledger.serves(doors)
		}
		return err
	})
}

// Session tells the gateway of an SMB session, for people.
func (c *Client) Session(ctx context.Context, s Session, ended bool) error {
	return c.counter.ask(ctx, func(ctx context.Context, l *line) error {
		_, err := l.rpc.Session(ctx, &lockpb.SessionRequest{Session: SessionPB(s), Ended: ended})
		if err == nil {
			c.counter.ledger.session(s, ended)
		}
		return err
	})
}

// NSM returns this run's state number and the hosts that must be told of it.
func (c *Client) NSM(ctx context.Context) (NSM, error) {
	var n NSM
	err := c.counter.ask(ctx, func(ctx context.Context, l *line) error {
		n = NSM{}
		return stream(ctx, l.rpc.NSM, &lockpb.Empty{}, func(p *lockpb.NSMState) {
			n.State = p.State
			n.Hosts = append(n.Hosts, each(p.Hosts, hostOf)...)
		})
	})
	return n, err
}

// Notified tells the counter that an SM_NOTIFY for name came from address. The counter checks it and frees what that host held.
func (c *Client) Notified(ctx context.Context, name, address string, state int32) (freed bool, err error) {
	err = c.counter.ask(ctx, func(ctx context.Context, l *line) error {
		r, err := l.rpc.Notified(ctx, &lockpb.NotifiedRequest{Name: text(name), Address: text(address), State: state})
		freed = r.GetFreed()
		return err
	})
	return freed, err
}

// counter is the far counter: a lock.Manager over the connection of the moment.
type counter struct {
	path     string
	options  Options
	stopping <-chan struct{} // closed when the daemon stops
	ledger   *ledger
	events   *queue
	deliver  func(lock.Answer) bool
	quiet    quiet
	ease     eases

	mu    sync.Mutex    // guards the fields below
	line  *line         // nil while the door is away or presents itself
	ready chan struct{} // closed when line is set, or for good when ended is
	ended bool
	epoch uint64
}

// line is one connection.
type line struct {
	client  *ttrpc.Client
	lanes   lanes
	breaks  breaks
	token   []byte               // of its lanes
	rpc     lockpb.CounterClient // by a lane or by client
	dead    chan struct{}        // closed when the connection has ended
	asking  sync.WaitGroup       // requests between sending and the ledger; grows only under counter.mu while the line is counter.line
	reading sync.WaitGroup       // the reader of events
}

func (l *line) hangup() {
	l.lanes.end()
	l.client.Close()
}

// item is an event that came by l.
func (l *line) item(e lock.Event) item {
	i := item{Event: e}
	if e.Break != nil {
		i.told = l.breaks.arrive()
	}
	return i
}

// errDisconnected is what remains of a request whose connection ended.
var errDisconnected = errors.New("the gateway does not answer")

// ask sends a request. One whose connection ends before its answer is sent again over the next: the old seat's doings ended with it, and
// what outlives a seat, NLM's locks, may be asked for twice. Once sent, a request is not taken back when ctx ends, since the counter may
// have granted it by then.
func (m *counter) ask(ctx context.Context, send func(context.Context, *line) error) error {
	limit := time.Now().Add(Deadline)
	for {
		l, err := m.take(ctx, limit)
		if err != nil {
			return err
		}
		u := &until{Context: context.WithoutCancel(ctx), limit: limit}
		err = send(u, l)
		u.over()
		l.asking.Done()
		if err == nil {
			l.breaks.wait(u.breaks)
			return nil
		}
		st, answered := status.FromError(err)
		switch {
		case errors.Is(err, context.DeadlineExceeded) || answered && st.Code() == codes.DeadlineExceeded:
			l.hangup() // its fate is unknown: a new seat has none of it
			return fmt.Errorf("ipc: %s: %w", m.options.Name, errDisconnected)
		case answered && st.Code() != codes.Canceled: // the gateway is stopping
			return fmt.Errorf("ipc: %s: %w", m.options.Name, err)
		}
		l.hangup()
		m.away(l)
	}
}

// take waits for the connection. Whoever took it calls asking.Done.
func (m *counter) take(ctx context.Context, limit time.Time) (*line, error) {
	var timeout <-chan time.Time
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m.mu.Lock()
		l, ready, ended := m.line, m.ready, m.ended
		if l != nil {
			l.asking.Add(1)
		}
		m.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case ended:
			return nil, fmt.Errorf("ipc: %s: %w", m.options.Name, net.ErrClosed)
		}
		if timeout == nil {
			t := time.NewTimer(time.Until(limit))
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-m.stopping:
			return nil, fmt.Errorf("ipc: %s: %w", m.options.Name, net.ErrClosed)
		case <-timeout:
			return nil, fmt.Errorf("ipc: %s: %w", m.options.Name, errDisconnected)
		}
	}
}

// away takes l out of use.
func (m *counter) away(l *line) {
	m.quiet.end(l)
	m.ease.end(l)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.line == l {
		m.line, m.ready = nil, make(chan struct{})
	}
}

// stay keeps the door at the counter until life ends.
func (m *counter) stay(life context.Context, l *line) {
	for {
		select {
		case <-l.dead:
		case <-life.Done():
			l.hangup()
		}
		m.away(l)
		<-l.dead
		l.asking.Wait() // their outcomes are in the ledger now
		l.reading.Wait()
		if life.Err() == nil {
			m.options.Log.Warn("gateway is away", "hatch", m.path)
			began := time.Now()
			var err error
			if l, err = m.come(life, life); err == nil {
				m.options.Log.Info("gateway is back", "hatch", m.path, "after", time.Since(began))
				continue
			}
			if life.Err() == nil && m.options.Ended != nil {
				m.options.Ended(err)
			}
		}
		m.mu.Lock()
		m.ended = true
		close(m.ready)
		m.mu.Unlock()
		return
	}
}

const (
	backoffMin = 5 * time.Millisecond
	backoffMax = 250 * time.Millisecond
)

// come dials until it stands at the counter with everything it holds. A gateway of another version is an error.
func (m *counter) come(ctx, life context.Context) (*line, error) {
	var refusal error
	for wait := backoffMin; ; wait = min(2*wait, backoffMax) {
		l, err := m.connect(ctx, life)
		if err == nil {
			m.ease.settle()
			if err = m.present(ctx, l); err == nil {
				l.lanes.begin(LanePath(m.path), l.token)
				m.mu.Lock()
				m.line = l
				close(m.ready)
				m.mu.Unlock()
				return l, nil
			}
			l.hangup()
			<-l.dead
			m.quiet.end(l)
			m.ease.end(l)
			l.reading.Wait()
		}
		if status.Code(err) == codes.FailedPrecondition {
			return nil, fmt.Errorf("ipc: %s: %w", m.path, err)
		}
		if _, refused := status.FromError(err); refused {
			if refusal == nil || refusal.Error() != err.Error() {
				m.options.Log.Warn("hatch refuses", "hatch", m.path, "err", err)
			}
			refusal = err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("ipc: %s: %w", m.path, errors.Join(ctx.Err(), cmp.Or(refusal, err)))
		case <-time.After(wait):
		}
	}
}

// connect dials, says Hello and begins to read events.
func (m *counter) connect(ctx, life context.Context) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", m.path)
	if err != nil {
		return nil, err
	}
	l := &line{dead: make(chan struct{})}
	l.client = ttrpc.NewClient(conn, ttrpc.WithOnClose(func() {
		l.lanes.end()
		close(l.dead)
	}))
	l.rpc = lockpb.NewCounterClient(l.client)
	fail := func(err error) (*line, error) {
		l.hangup()
		<-l.dead
		return nil, err
	}
	m.mu.Lock()
	known := m.epoch
	m.mu.Unlock()
	hello, err := l.rpc.Hello(ctx, &lockpb.HelloRequest{Version: Version, Door: uint32(m.options.Door), Name: m.options.Name, Epoch: known,
		Borrows: m.options.Describe != nil || m.options.Eases})
	if err != nil {
		return fail(err)
	}
	if hello.Version != Version {
		return fail(status.Errorf(codes.FailedPrecondition, "the gateway speaks version %d, this daemon %d", hello.Version, Version))
	}
	m.mu.Lock()
	m.epoch = hello.Epoch
	m.mu.Unlock()
	l.token = hello.Token
	l.rpc = post{l.rpc, &l.lanes}
	m.quiet.begin(l)
	m.ease.begin(l)
	events, err := l.rpc.Events(life, &lockpb.Empty{})
	if err != nil {
		return fail(err)
	}
	l.reading.Go(func() {
		defer l.hangup()
		for {
			batch, err := events.Recv()
			if err != nil {
				return
			}
			for _, p := range batch.Events {
				if e := EventOf(p); e.Mark != nil && e.Mark.Open != 0 {
					m.easeOf(l, e.Mark)
				} else if e.Mark != nil {
					m.mark(l, e.Mark)
				} else if !m.event(l.item(e)) {
					m.options.Log.Error("sink does not take its events", "waiting", queueMax)
					return
				}
			}
		}
	})
	return l, nil
}

// event enters one event in the ledger and hands it on; false if there are too many.
func (m *counter) event(e item) bool {
	switch {
	case e.Answer != nil:
		m.ledger.answer(*e.Answer)
		if m.deliver(*e.Answer) {
			return true
		}
	case e.Break != nil:
		m.ledger.broken(*e.Break)
	case e.Gone != nil:
		m.ease.revoke(e.Gone.Open)
		m.ledger.taken(*e.Gone)
	case e.Change == nil && e.Watch == nil:
		return true // of a kind that this version does not know
	}
	if m.options.Sink == nil {
		if e.told != nil {
			e.told()
		}
		return true
	}
	return m.events.put(e)
}

// sink hands events to the door until life ends.
func (m *counter) sink(life context.Context) {
	if m.options.Sink == nil {
		return
	}
	defer context.AfterFunc(life, m.events.close)()
	for {
		e, ok := m.events.get()
		if !ok {
			return
		}
		m.hand(e)
	}
}
