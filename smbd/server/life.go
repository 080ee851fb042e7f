package server

import (
	"context"
	"sync"
	"time"
)

// life is a request's context: it ends with CANCEL, with the close of what the request is about, or with the connection.
type life struct {
	mu   sync.Mutex // guards the fields below
	done chan struct{}
	why  error // a *ending
}

// ending is why a request was cancelled, and what it is answered.
type ending struct{ why error }

func (s *ending) Error() string        { return s.why.Error() }
func (s *ending) Unwrap() error        { return s.why }
func (s *ending) Is(target error) bool { return target == context.Canceled }

// stop ends the life. The first reason counts.
func (l *life) stop(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why != nil {
		return
	}
	l.why = &ending{why}
	if l.done != nil {
		close(l.done)
	}
}

func (l *life) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.why != nil {
			close(l.done)
		}
	}
	return l.done
}

func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

func (l *life) Deadline() (time.Time, bool) { return time.Time{}, false }

func (l *life) Value(any) any { return nil }
