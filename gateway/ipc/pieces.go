package ipc

import (
	"context"
	"errors"
	"io"
	"time"

	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// A message is at most 4 MiB, so that a list comes in pieces.
const (
	piece     = 256 // entries of a kind in one piece of a file
	pieceBulk = 512 // entries in one message
)

// SendSnapshot sends s in pieces.
func SendSnapshot(s lock.Snapshot, send func(*lockpb.Snapshot) error) error {
	m := &lockpb.Snapshot{Grace: int64(s.Grace), Epoch: s.Epoch}
	n := 0
	for _, f := range s.Files {
		for more := true; more; {
			var p lock.FileState
			p, f, more = split(f)
			m.Files = append(m.Files, fileStatePB(p))
			if n += 1 + len(p.Opens) + len(p.Ranges) + len(p.Leases) + len(p.Waiters); n < pieceBulk {
				continue
			}
			if err := send(m); err != nil {
				return err
			}
			m, n = &lockpb.Snapshot{Grace: int64(s.Grace), Epoch: s.Epoch}, 0
		}
	}
	return send(m)
}

// split takes one piece off f.
func split(f lock.FileState) (p, rest lock.FileState, more bool) {
	p, rest = f, f
	p.Opens, rest.Opens = cut(f.Opens)
	p.Ranges, rest.Ranges = cut(f.Ranges)
	p.Leases, rest.Leases = cut(f.Leases)
	p.Waiters, rest.Waiters = cut(f.Waiters)
	return p, rest, len(rest.Opens)+len(rest.Ranges)+len(rest.Leases)+len(rest.Waiters) > 0
}

func cut[T any](s []T) (head, tail []T) {
	if len(s) <= piece {
		return s, nil
	}
	return s[:piece], s[piece:]
}

func receiveSnapshot(recv func() (*lockpb.Snapshot, error)) (lock.Snapshot, error) {
	var s lock.Snapshot
	err := pieces(recv, func(m *lockpb.Snapshot) {
		s.Grace, s.Epoch = durationOf(m.Grace), m.Epoch
		for _, pb := range m.Files {
			f := fileStateOf(pb)
			if n := len(s.Files); n > 0 && s.Files[n-1].Key == f.Key {
				l := &s.Files[n-1]
				l.Opens, l.Ranges = append(l.Opens, f.Opens...), append(l.Ranges, f.Ranges...)
				l.Leases, l.Waiters = append(l.Leases, f.Leases...), append(l.Waiters, f.Waiters...)
				continue
			}
			s.Files = append(s.Files, f)
		}
	})
	return s, err
}

// SendSessions sends a session list in pieces.
func SendSessions(all []Session, send func(*lockpb.SessionList) error) error {
	for len(all) > piece {
		if err := send(&lockpb.SessionList{Sessions: each(all[:piece], SessionPB)}); err != nil {
			return err
		}
		all = all[piece:]
	}
	return send(&lockpb.SessionList{Sessions: each(all, SessionPB)})
}

// SendDenials sends a list of denials in pieces.
func SendDenials(all []lock.Denial, send func(*lockpb.DenialList) error) error {
	for len(all) > piece {
		if err := send(&lockpb.DenialList{Denials: each(all[:piece], denialPB)}); err != nil {
			return err
		}
		all = all[piece:]
	}
	return send(&lockpb.DenialList{Denials: each(all, denialPB)})
}

// SendNSM sends the NSM state in pieces.
func SendNSM(n NSM, send func(*lockpb.NSMState) error) error {
	for len(n.Hosts) > piece {
		if err := send(&lockpb.NSMState{State: n.State, Hosts: each(n.Hosts[:piece], hostPB)}); err != nil {
			return err
		}
		n.Hosts = n.Hosts[piece:]
	}
	return send(&lockpb.NSMState{State: n.State, Hosts: each(n.Hosts, hostPB)})
}

// pieces receives messages until the stream ends.
func pieces[M any](recv func() (M, error), take func(M)) error {
	for {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		take(m)
	}
}

// stream opens a stream of M and receives all of it.
func stream[S interface{ Recv() (M, error) }, M, Q any](ctx context.Context, open func(context.Context, Q) (S, error), q Q, take func(M)) error {
	s, err := open(ctx, q)
	if err != nil {
		return err
	}
	return pieces(s.Recv, take)
}

func durationOf(n int64) time.Duration { return time.Duration(n) }

func listOver[S interface {
	Recv() (*lockpb.Snapshot, error)
}](ctx context.Context, open func(context.Context, *lockpb.Filter) (S, error), f lock.Filter) (lock.Snapshot, error) {
	s, err := open(ctx, FilterPB(f))
	if err != nil {
		return lock.Snapshot{}, err
	}
	return receiveSnapshot(s.Recv)
}
