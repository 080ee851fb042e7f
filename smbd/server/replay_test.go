package server

import (
	"testing"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// A ChannelSequence that is older than the open's refuses what modifies; a newer one makes everything under way an earlier request, before whose
// end nothing is repeated. [MS-SMB2] 3.3.5.2.10.
func TestChannelSequence(t *testing.T) {
	c := &conn{dialect: smb2.Dialect300}
	ask := func(cmd smb2.Command, n uint16, flags smb2.Flags) *request {
		return &request{Header: smb2.Header{Command: cmd, Status: ntstatus.Status(n), Flags: flags}, chain: &chain{c: c}}
	}
	const replay = smb2.FlagReplayOperation
	var q sequences
	first := ask(smb2.Write, 0, 0)
	for i, s := range []struct {
		r    *request
		want error
		q    sequences
	}{
		{first, nil, sequences{0, 1, 0}},
		{ask(smb2.Read, 0, 0), nil, sequences{0, 2, 0}},
		{ask(smb2.Write, 0x8000, 0), ntstatus.FileNotAvailable, sequences{0, 2, 0}},
		{ask(smb2.Read, 0x8000, 0), nil, sequences{0, 2, 0}},
		{ask(smb2.Write, 1, replay), ntstatus.FileNotAvailable, sequences{1, 0, 2}},
		{ask(smb2.SetInfo, 1, 0), nil, sequences{1, 1, 2}},
		{ask(smb2.IOCTL, 0, 0), ntstatus.FileNotAvailable, sequences{1, 1, 2}},
		{ask(smb2.Read, 1, replay), nil, sequences{1, 2, 2}},
		{ask(smb2.Write, 0x8000, 0), nil, sequences{0x8000, 1, 4}},
	} {
		if err := q.admit(s.r); err != s.want || q != s.q {
			t.Errorf("%d: %v, %+v, want %v, %+v", i, err, q, s.want, s.q)
		}
	}
	if q.done(first); q.earlier != 3 {
		t.Errorf("an earlier request ends: %+v", q)
	}
	q.done(first)
	old := &conn{dialect: smb2.Dialect210}
	r := ask(smb2.Write, 5, 0)
	r.chain.c = old
	if err := q.admit(r); err != nil || q != (sequences{0x8000, 1, 3}) {
		t.Errorf("dialect 2.1 has none: %v, %+v", err, q)
	}
}

// A LOCK that is sent again with its sequence number is not done again; another number forgets it. [MS-SMB2] 3.3.5.14.
func TestLockSequence(t *testing.T) {
	c := &conn{dialect: smb2.Dialect311, ours: smb2.CapMultiChannel}
	r, o := &request{chain: &chain{c: c}}, &open{kind: lock.Oplock}
	q := func(index uint32, number uint8) *smb2.LockRequest {
		return &smb2.LockRequest{SequenceIndex: index, SequenceNumber: number}
	}
	for i, s := range []struct {
		q    *smb2.LockRequest
		done bool
		want bool
	}{
		{q(1, 1), true, false}, {q(1, 1), true, true}, {q(2, 1), false, false}, {q(2, 1), true, false}, {q(1, 2), false, false}, {q(1, 1), true, false},
		{q(0, 1), true, false}, {q(0, 1), true, false}, {q(65, 1), true, false}, {q(65, 1), true, false}, {q(64, 15), true, false}, {q(64, 15), true, true},
	} {
		got := o.repeated(r, s.q)
		if got != s.want {
			t.Errorf("%d: %+v repeated: %v, want %v", i, s.q, got, s.want)
		}
		if s.done && !got {
			o.locked(s.q)
		}
	}
	c.ours = 0
	if o.repeated(r, q(64, 15)) {
		t.Error("neither durable nor on several channels")
	}
}
