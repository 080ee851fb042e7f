package tree

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pins keep files that were just looked up from vanishing before they are opened: on any other file system the look-up itself does that,
// so a program that opens a file while another replaces it gets the old file or the new one, never ESTALE. Where it happens the kernel
// looks the path up once more by itself (retry_estale, LOOKUP_REVAL): so nothing is pinned until a file was gone at its use, and then for
// as long as the kernel may use the look-up; longer would keep the space of removed files.
type pins struct {
	until atomic.Int64 // look-ups are pinned, in Unix nanoseconds

	mu    sync.Mutex // guards the fields below
	line  []pin      // oldest first
	armed bool
}

// vanished notes that a file was gone at its use.
func (p *pins) vanished() { p.until.Store(time.Now().Add(pinTime).UnixNano()) }

// wanted reports whether what is found now has to stay.
func (p *pins) wanted() bool { return time.Now().UnixNano() < p.until.Load() }

type pin struct {
	fd  int
	end time.Time
}

const (
	pinsMax = 1024
	pinTime = cacheTime + cacheTime/4 // the kernel counts from a little later
)

// add takes fd and closes it later.
func (p *pins) add(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.line) == pinsMax {
		unix.Close(p.line[0].fd)
		p.line = p.line[1:]
	}
	p.line = append(p.line, pin{fd, time.Now().Add(pinTime)})
	if !p.armed {
		p.armed = true
		time.AfterFunc(pinTime, p.expire)
	}
}

// expire closes what is over and comes back for the rest.
func (p *pins) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for len(p.line) > 0 && !p.line[0].end.After(now) {
		unix.Close(p.line[0].fd)
		p.line = p.line[1:]
	}
	if p.armed = len(p.line) > 0; p.armed {
		time.AfterFunc(max(p.line[0].end.Sub(now), cacheTime/8), p.expire)
	} else {
		p.line = nil
	}
}

// drop closes all.
func (p *pins) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.line {
		unix.Close(one.fd)
	}
	p.line = nil
}
