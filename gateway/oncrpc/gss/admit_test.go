package gss

import (
	"testing"
	"time"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/krb5"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/xdr"
)

// RFC 2203 §5.3.3.1: a number counts once, in any order within the window, and not below it.
func TestSequenceWindow(t *testing.T) {
	var c gssContext
	for _, step := range []struct {
		n  uint32
		ok bool
	}{{1, true}, {1, false}, {5, true}, {3, true}, {4, true}, {3, false}, {2, true}, {window + 2, true}, {2, false}, {3, false}, {6, true},
		{6, false}, {window + 2, false}, {window + 1, true}, {9000, true}, {9000 - window, false}, {9000 - window + 1, true}, {9000, false}} {
		if got := c.take(step.n, time.Now()); got != step.ok {
			t.Errorf("number %d: %v", step.n, got)
		}
	}
}

func TestContextsAreBounded(t *testing.T) {
	s := New(Config{})
	now := time.Now()
	first := &gssContext{Context: &krb5.Context{Until: now.Add(time.Hour)}}
	s.add(first, now.Add(-time.Minute))
	for range maxContexts {
		s.add(&gssContext{Context: &krb5.Context{Until: now.Add(time.Hour)}}, now)
	}
	if len(s.contexts) != maxContexts || s.find(first.id[:]) != nil {
		t.Errorf("%d contexts, the oldest one still there: %v", len(s.contexts), s.find(first.id[:]) != nil)
	}
}

func FuzzAdmit(g *testing.F) {
	f := fuzz.On(g)
	keys, _ := krb5.Open("/nonexistent")
	s := New(Config{Acceptor: krb5.NewAcceptor(keys, "nfs")})
	c := &gssContext{Context: &krb5.Context{Until: time.Now().Add(time.Hour)}}
	s.add(c, time.Now())
	for proc := uint32(0); proc < 4; proc++ {
		cred := credential{Version: 1, Proc: proc, Service: 2}
		if proc == procData {
			cred.Handle = c.id[:]
		}
		b, _ := xdr.Marshal(nil, &cred)
		f.Add(b, []byte{4, 4, 0, 255}, []byte{0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, cred, verifier, args []byte) {
		a := s.Admit(&oncrpc.SecureCall{Cred: cred, VerifierFlavor: oncrpc.FlavorGSS, Verifier: verifier, Args: args})
		if a.Seal != nil {
			t.Error("let in without a proof")
		}
	})
}
