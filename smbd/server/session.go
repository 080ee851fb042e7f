package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"dittofs/gateway/export"
	"dittofs/gateway/ipc"
	"dittofs/smbd/auth"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// What a session may cost us. Implementation specific.
const (
	maxTrees = 256
	maxOpens = 16384
)

// session is a Session, [MS-SMB2] 3.3.1.8. It belongs to one connection: channels are not offered.
//
//	in progress ──SESSION_SETUP──▶ valid ──LOGOFF, disconnect, PreviousSessionId──▶ ended
//	     └──wrong password──▶ ended
type session struct {
	id uint64
	c  *conn
	s  *Server

	// Changed by SESSION_SETUP alone, during which the connection reads nothing else.
	acceptor        *auth.Acceptor // while a logon is under way
	preauth         seal.Preauth
	valid           bool
	user            auth.User
	cred            export.Cred
	anonymous       bool
	signer          seal.Signer // nil: anonymous
	cipher          seal.Cipher
	encrypt         bool // everything must be encrypted
	signingRequired bool
	since           time.Time
	standing        string // the user's name once valid; guarded by conn.mu for those who come from another connection

	mu    sync.Mutex // guards the fields below
	ended bool
	trees map[uint32]*tree
	opens map[uint64]*open // by FileId.Volatile
}

// random returns a number that nobody can guess, for ids that name what a client holds.
func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// newSession registers a session that is still in progress.
func (c *conn) newSession() (*session, error) {
	s := &session{c: c, s: c.s, preauth: c.preauth, trees: map[uint32]*tree{}, opens: map[uint64]*open{}}
	c.s.mu.Lock()
	for s.id == 0 || c.s.sessions[s.id] != nil {
		s.id = random() &^ (0xFFFF << 48) // some clients keep it in a double
	}
	c.s.sessions[s.id] = s
	c.s.mu.Unlock()
	c.mu.Lock()
	full := len(c.sessions) >= maxSessions
	if !full {
		c.sessions[s.id] = s
	}
	c.mu.Unlock()
	if full {
		c.s.forget(s)
		return nil, ntstatus.InsufficientResources
	}
	return s, nil
}

// leave takes the session from its connection and ends it.
func (s *session) leave(ctx context.Context) {
	s.c.mu.Lock()
	delete(s.c.sessions, s.id)
	none := len(s.c.sessions) == 0
	s.c.mu.Unlock()
	s.end(ctx)
	if none && s.valid {
		s.c.nc.SetReadDeadline(time.Now().Add(idleTime))
	}
}

// end closes all that is open. [MS-SMB2] 3.3.5.6.
func (s *session) end(ctx context.Context) {
	s.mu.Lock()
	again := s.ended
	s.ended = true
	opens := make([]*open, 0, len(s.opens))
	for _, o := range s.opens {
		opens = append(opens, o)
	}
	clear(s.trees)
	s.mu.Unlock()
	if again {
		return
	}
	s.s.forget(s)
	for _, o := range opens {
		o.close(ctx)
	}
	if s.valid {
		s.report(ctx, true)
	}
}

// report tells the gateway who is here, for people.
func (s *session) report(ctx context.Context, ended bool) {
	if s.s.cfg.Report == nil {
		return
	}
	r := ipc.Session{ID: s.id, User: s.user.Name, Address: s.c.address, Dialect: s.c.dialect.String(), Signed: s.signer != nil,
		Encrypted: s.encrypt && s.cipher != nil, Since: s.since}
	if s.anonymous {
		r.User = "(anonymous)"
	}
	s.mu.Lock()
	for _, t := range s.trees {
		r.Share = append(r.Share, t.share.name)
	}
	s.mu.Unlock()
	if err := s.s.cfg.Report(ctx, r, ended); err != nil {
		s.c.log.Debug("session not reported", "err", err)
	}
}

func (s *session) tree(id uint32) *tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trees[id]
}

// add registers an open under an id that nobody can guess.
func (s *session) add(o *open) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.trees[o.tree.id] != o.tree {
		return ntstatus.NetworkNameDeleted
	}
	if len(s.opens) >= maxOpens {
		return ntstatus.TooManyOpenedFiles
	}
	for o.id.Volatile == 0 || o.id.Volatile == ^uint64(0) || s.opens[o.id.Volatile] != nil {
		o.id = smb2.FileID{Persistent: random(), Volatile: random()}
	}
	s.opens[o.id.Volatile] = o
	return nil
}

// find looks an open up. [MS-SMB2] 3.3.5.2.10 wants both halves of the id and the tree to fit.
func (s *session) find(id smb2.FileID, t *tree) *open {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.opens[id.Volatile]
	if o == nil || o.id != id || o.tree != t {
		return nil
	}
	return o
}
