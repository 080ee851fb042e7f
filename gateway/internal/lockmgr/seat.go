package lockmgr

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dittofs/gateway/lock"
)

// Seat is one door's place at the counter. It implements lock.Manager; its numbers of opens, accesses and tickets are its own.
type Seat struct {
	m      *Manager
	n      uint64
	door   lock.Door
	name   string
	sink   func(lock.Event)
	easy   atomic.Bool   // the door takes its opens' ease
	breaks atomic.Uint64 // it was told, or will be

	mu       sync.Mutex // guards the fields below
	opens    map[uint64]lock.Key
	accesses map[uint64]lock.Key
	eased    map[uint64]lock.Key // opens at ease, or that were
	tickets  map[uint64]waits
	mustered bool
	gone     bool

	qmu   sync.Mutex // guards the fields below
	queue []queued
	// changed are files that were written since the door was told so last.
	changed  map[lock.Key]lock.Change
	awake    chan struct{}
	closed   bool
	told     time.Time // when the queue was last told, and when changed was
	modified time.Time
	urgent   bool // the queue holds more than changes
	resting  bool // deliver sleeps, and more changes need not wake it
}

// waits is what a ticket waits for: an open or an access that is the seat's only once it is granted, or a range.
type waits struct {
	key          lock.Key
	open, access uint64
	lock         *lock.LockRequest
	who          *waiter
}

// waiter is who waits with a ticket, for metrics and for people.
type waiter struct {
	ask    asked
	since  time.Time
	denial lock.Denial // what it becomes if nothing is granted, but for the words of what was asked
	what   func() string
}

// ended notes how waiting ended.
func (m *Manager) ended(w *waits, out lock.Outcome, h *lock.Holder) {
	if w.who == nil {
		return
	}
	door := w.who.denial.Owner.Client.Door
	waited := time.Since(w.who.since)
	m.metrics.wait.WithLabelValues(doors[doorOf(door)], askNames[w.who.ask]).Observe(waited.Seconds())
	m.metrics.ruled(door, w.who.ask, out)
	if !counts(out) {
		return
	}
	d := w.who.denial
	d.What, d.Outcome, d.Waited = w.who.what(), out, waited
	if h != nil {
		d.Holder = h
	}
	m.denials.note(d)
}

// queued is an event that may be told when everything up to seq is durable.
type queued struct {
	e   lock.Event
	seq uint64
	w   waits // what an Answer grants
}

// queueMax is how far a door may fall behind before its seat is taken away.
const queueMax = 100_000

// Times between two tellings: that a file was written, and that names or attributes changed. What comes alone is told at once, and who
// makes many names wakes nobody for each.
const (
	pause  = 50 * time.Millisecond
	breath = time.Millisecond
)

// Attach gives a door a seat. sink gets its events in order, from one goroutine, and may take its time.
func (m *Manager) Attach(door lock.Door, name string, sink func(lock.Event)) *Seat {
	s := &Seat{m: m, n: m.seatN.Add(1), door: door, name: name, sink: sink, opens: map[uint64]lock.Key{}, accesses: map[uint64]lock.Key{},
		tickets: map[uint64]waits{}, changed: map[lock.Key]lock.Change{}, awake: make(chan struct{}, 1)}
	m.mu.Lock()
	m.seats[s.n] = s
	m.mu.Unlock()
	go s.deliver()
	return s
}

// Breaks counts the breaks that the seat was ever told, those on their way included.
func (s *Seat) Breaks() uint64 { return s.breaks.Load() }

// tell queues an event for a seat, behind seq.
func (m *Manager) tell(seat uint64, e lock.Event, seq uint64) {
	m.mu.Lock()
	s := m.seats[seat&^shares]
	m.mu.Unlock()
	if s == nil {
		return
	}
	var w waits
	if e.Answer != nil {
		s.mu.Lock()
		var ok bool
		if w, ok = s.tickets[e.Answer.Ticket]; ok {
			delete(s.tickets, e.Answer.Ticket)
			m.waiting.Add(-1)
			if e.Answer.Outcome != lock.Granted {
				delete(s.opens, w.open)
				delete(s.accesses, w.access)
			}
		}
		s.mu.Unlock()
		m.ended(&w, e.Answer.Outcome, e.Answer.Holder)
	}
	if e.Break != nil {
		s.breaks.Add(1)
		m.metrics.breaks[e.Break.Kind].Inc()
		m.log.Info("lease break", "file", e.Break.Key, "client", e.Break.Client, "from", e.Break.From, "to", e.Break.To, "ack", e.Break.AckRequired)
	}
	if e.Gone != nil && !e.Gone.Range {
		s.forget(s.opens, e.Gone.Open)
	}
	s.put(e, seq, w)
}

// everyone tells all doors that keep caches, but the one that made the change.
func (m *Manager) everyone(c lock.Change) {
	m.mu.Lock()
	var to []*Seat
	for _, s := range m.seats {
		if s.door != c.By && (s.door == lock.SMB || s.door == lock.Local) {
			to = append(to, s)
		}
	}
	m.mu.Unlock()
	for _, s := range to {
		s.put(lock.Event{Change: &c}, 0, waits{})
	}
}

func (s *Seat) put(e lock.Event, seq uint64, w waits) {
	s.qmu.Lock()
	first := false // it need not wait as long as what is there
	switch {
	case s.closed:
	case e.Change != nil && e.Change.Action == lock.Modified && e.Change.Name == "" && e.Change.Data:
		// A file that is being written is news at most once a pause.
		c := *e.Change
		old := s.changed[c.Key]
		c.Filter, c.Data = c.Filter|old.Filter, c.Data || old.Data
		s.changed[c.Key] = c
	case len(s.queue) >= queueMax:
		s.closed = true
		s.m.log.Error("a door does not hear: its seat is taken away", "door", s.name, "events", len(s.queue))
		go s.Detach()
	default:
		first = len(s.queue) == 0
		s.queue = append(s.queue, queued{e, seq, w})
		s.urgent = s.urgent || e.Change == nil
	}
	wake := s.urgent || s.closed || !s.resting || first
	s.qmu.Unlock()
	if !wake {
		return
	}
	select {
	case s.awake <- struct{}{}:
	default:
	}
}

// take returns what is told now; where that is nothing, how long nothing is, unless something urgent comes (0: until something comes).
func (s *Seat) take() (batch []queued, rest time.Duration, closed bool) {
	s.qmu.Lock()
	defer s.qmu.Unlock()
	now := time.Now()
	if len(s.queue) > 0 {
		if rest = breath - now.Sub(s.told); s.urgent || rest <= 0 {
			batch, s.queue, s.urgent, s.told, rest = s.queue, nil, false, now, 0
		}
	}
	if len(s.changed) > 0 && rest == 0 { // never before a name that came earlier
		if wait := pause - now.Sub(s.modified); wait > 0 {
			rest = wait
		} else {
			for _, c := range s.changed {
				batch = append(batch, queued{e: lock.Event{Change: &c}})
			}
			clear(s.changed)
			s.modified = now
		}
	}
	s.resting = len(batch) == 0 && rest > 0
	return batch, rest, s.closed
}

func (s *Seat) deliver() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.awake:
		case <-timer.C:
		}
		for {
			batch, rest, closed := s.take()
			if closed {
				return
			}
			if len(batch) == 0 {
				if rest > 0 {
					timer.Reset(rest)
				}
				break
			}
			for i := range batch {
				q := &batch[i]
				if q.seq != 0 {
					if err := s.m.vault.Wait(context.Background(), q.seq); err != nil && q.e.Answer != nil && q.e.Answer.Outcome == lock.Granted {
						s.refuse(&q.w, err)
						*q.e.Answer = lock.Answer{Ticket: q.e.Answer.Ticket, Outcome: lock.Failed}
					}
				}
				if s.sink != nil {
					s.sink(q.e)
				}
			}
		}
	}
}

// refuse takes back what a ticket was granted and the vault did not take.
func (s *Seat) refuse(w *waits, err error) {
	switch {
	case w.lock != nil:
		s.m.refuse(w.key, err, func(t *lock.Table) { t.Unlock(s.n, w.lock) })
	case w.open != 0:
		s.forget(s.opens, w.open)
		s.m.refuse(w.key, err, func(t *lock.Table) { t.Close(s.id(w.open), false) })
	case w.access != 0:
		s.forget(s.accesses, w.access)
		s.m.refuse(w.key, err, func(t *lock.Table) { t.Done(lock.ID{Seat: s.n, N: w.access}) })
	}
}

// Detach is the door's death: what lives by its connection ends; durable opens wait for their clients, NLM locks stay.
func (s *Seat) Detach() {
	m := s.m
	m.mu.Lock()
	_, there := m.seats[s.n]
	delete(m.seats, s.n)
	m.mu.Unlock()
	s.mu.Lock()
	m.waiting.Add(-int64(len(s.tickets)))
	clear(s.tickets)
	s.gone = true
	s.mu.Unlock()
	s.qmu.Lock()
	s.closed = true
	s.qmu.Unlock()
	select {
	case s.awake <- struct{}{}:
	default:
	}
	if !there {
		return
	}
	m.everyFile(func(t *lock.Table) { t.Detach(s.n) })
	m.marks.bereft(s)
	s.uneasy()
}

// Mustered says that the door has presented everything it held.
func (s *Seat) Mustered() {
	s.mu.Lock()
	s.mustered = true
	s.mu.Unlock()
	m := s.m
	m.mu.Lock()
	delete(m.expect, s.name)
	all := len(m.expect) == 0
	m.mu.Unlock()
	if s.door == lock.SMB {
		m.everyFile(func(t *lock.Table) { t.Mustered(s.n) })
	}
	if all {
		m.endMuster()
	}
}

func (s *Seat) forget(set map[uint64]lock.Key, n uint64) (lock.Key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := set[n]
	delete(set, n)
	return k, ok
}

// waits notes a ticket before anybody can answer it.
func (s *Seat) waits(ticket uint64, w waits) {
	w.who.since = time.Now()
	s.mu.Lock()
	s.tickets[ticket] = w
	s.mu.Unlock()
	s.m.waiting.Add(1)
}

func (s *Seat) find(set map[uint64]lock.Key, n uint64) (lock.Key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := set[n]
	return k, ok
}
