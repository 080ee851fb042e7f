package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"dittofs/gateway/oncrpc/rpcbind"
	"dittofs/gateway/xdr"
	"dittofs/packaging/bench/side"
)

const (
	progNFS   = 100003
	progMount = 100005
	progNLM   = 100021
)

// mounted is a server's directory, with what the operations made in it.
type mounted struct {
	root []byte
	ctl  *pipe // NFS, for preparing
	file []byte
	dirs map[string][]byte
	at   atomic.Uint64
	open []*pipe
}

func portOf(prog uint32) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	at, err := rpcbind.Lookup(ctx, netip.MustParseAddr("127.0.0.1"), netip.Addr{}, prog, version(prog), "tcp")
	return at.String(), err
}

func (m *mounted) dial(prog uint32) (*pipe, error) {
	at, err := portOf(prog)
	if err != nil {
		return nil, err
	}
	p, err := dial(at)
	if err == nil {
		m.open = append(m.open, p)
	}
	return p, err
}

func mount(dir string) (m *mounted, err error) {
	m = &mounted{dirs: map[string][]byte{}}
	p, err := m.dial(progMount)
	if err != nil {
		return nil, err
	}
	x, err := p.one(call{progMount, 1, func(x *xdr.Stream) { x.String(&dir, 1024) }})
	if err != nil {
		return nil, fmt.Errorf("MNT: %w", err)
	}
	x.Opaque(&m.root, 64)
	m.root = bytes.Clone(m.root)
	m.ctl, err = m.dial(progNFS)
	return m, err
}

func (m *mounted) close() {
	for _, p := range m.open {
		p.Close()
	}
}

// measure drives an operation.
func (m *mounted) measure(o operation, conns, depth int, long time.Duration, cpu func() time.Duration) side.Result {
	prog := uint32(progNFS)
	if o.nlm {
		prog = progNLM
	}
	var pipes []*pipe
	for range conns {
		p, err := m.dial(prog)
		if err != nil {
			return side.Result{Err: err}
		}
		defer p.Close()
		pipes = append(pipes, p)
	}
	var all []*slot
	round := func(long time.Duration) error {
		errs := make([]error, conns)
		var wg sync.WaitGroup
		all = nil
		until := time.Now().Add(long)
		for i, p := range pipes {
			var slots []*slot
			for j := range depth {
				slots = append(slots, &slot{m: m, number: i*depth + j, rnd: rand.New(rand.NewPCG(uint64(i), uint64(j)))})
			}
			all = append(all, slots...)
			wg.Go(func() { errs[i] = p.drive(&o, slots, until) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	if err := round(long / 4); err != nil { // warm
		return side.Result{Err: err}
	}
	before, began := cpu(), time.Now()
	if err := round(long); err != nil {
		return side.Result{Err: err}
	}
	took := time.Since(began)
	units := 0
	for _, k := range all {
		units += k.units
	}
	if units == 0 {
		return side.Result{Err: errors.New("nothing was done")}
	}
	return side.Result{Rate: float64(units) / took.Seconds(), CPU: (cpu() - before) / time.Duration(units)}
}
