package server

import (
	"context"
	"reflect"
	"testing"

	"dittofs/gateway/ipc"
	"dittofs/smbd/smb2"
)

// What a session was in the meantime is told once, and one that came and went not at all.
func TestReports(t *testing.T) {
	type told struct {
		id    uint64
		ended bool
	}
	var got []told
	srv := &Server{cfg: Config{Report: func(_ context.Context, r ipc.Session, ended bool) error {
		got = append(got, told{r.ID, ended})
		return nil
	}}}
	srv.reports.armed = true // by us
	come := func(id uint64) *session {
		s := &session{id: id, s: srv, first: &conn{dialect: smb2.Dialect311}}
		s.identity.Store(&identity{})
		srv.reports.add(t.Context(), s, false)
		return s
	}
	end := func(s *session) {
		s.ended = true
		srv.reports.add(t.Context(), s, true)
	}
	expect := func(want ...told) {
		t.Helper()
		srv.reports.tell(t.Context())
		if !reflect.DeepEqual(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		got, srv.reports.armed = nil, true
	}
	end(come(1))
	expect()
	s := come(2)
	srv.reports.add(t.Context(), s, false)
	expect(told{2, false})
	srv.reports.add(t.Context(), s, false)
	end(s)
	expect(told{2, true})
	srv.reports.add(t.Context(), s, false) // a share went with it
	expect()
}
