package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dittofs/gateway/export"
	"dittofs/gateway/lock"
	"dittofs/smbd/auth"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
)

// What a session may cost us. Implementation specific.
const (
	maxTrees    = 256
	maxOpens    = 16384
	maxChannels = 32
)

// nobody is as whom an anonymous client acts on the disk.
const nobody = 65534

// session is a Session, [MS-SMB2] 3.3.1.8. It is reached through its channels, one for each connection that it is bound to.
//
//	in progress ──SESSION_SETUP──▶ valid ──LOGOFF, last channel gone, PreviousSessionId, reauthentication failed──▶ ended
//	     └──wrong password──▶ ended
type session struct {
	id    uint64
	s     *Server
	log   *slog.Logger
	first *conn // that made it: its dialect, ciphers and client are the session's

	// Set before valid is.
	signer          seal.Signer // of the first channel; nil: anonymous
	cipher          seal.Cipher // all channels share one
	encrypt         bool        // everything must be encrypted
	signingRequired bool
	since           time.Time
	valid           atomic.Bool

	identity atomic.Pointer[identity] // changed by reauthentication

	mu       sync.Mutex // guards the fields below
	ended    bool
	channels []*channel
	trees    map[uint32]*tree
	opens    map[uint64]*open // by FileId.Volatile
	adrift   map[*request]struct{}
}

// identity is as whom a session acts.
type identity struct {
	user      auth.User
	cred      export.Cred
	anonymous bool
	until     time.Time // Session.ExpirationTime; zero: never
}

func newIdentity(u auth.User, anonymous bool) *identity {
	i := &identity{user: u, cred: export.Cred{UID: u.UID, GID: u.GID, Groups: u.Groups}, anonymous: anonymous}
	if anonymous {
		i.cred = export.Cred{UID: nobody, GID: nobody}
	}
	return i
}

// who is the user's name, for people.
func (s *session) who() string {
	if i := s.identity.Load(); i.anonymous {
		return "(anonymous)"
	} else {
		return i.user.Name
	}
}

// expired reports whether the client must prove again who it is. [MS-SMB2] 3.3.5.2.9.
func (s *session) expired() bool {
	i := s.identity.Load()
	return !i.until.IsZero() && time.Now().After(i.until)
}

// cred is with what rights the session acts on the disk.
func (s *session) cred() export.Cred { return s.identity.Load().cred }

// client is Session.Connection.ClientGuid.
func (s *session) client() lock.GUID { return s.first.client }

// random returns a number that nobody can guess, for ids that name what a client holds.
func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// newSession registers a session that is still in progress, and its first channel.
func (c *conn) newSession() (*channel, error) {
	s := &session{s: c.s, first: c, log: c.log, trees: map[uint32]*tree{}, opens: map[uint64]*open{}}
	s.identity.Store(&identity{})
	c.s.mu.Lock()
	for s.id == 0 || c.s.sessions[s.id] != nil {
		s.id = uint64(uint32(random())) // some clients keep 32 bits of it
	}
	c.s.sessions[s.id] = s
	c.s.mu.Unlock()
	h, err := c.newChannel(s)
	if err != nil {
		c.s.forget(s)
		return nil, err
	}
	return h, nil
}

// session finds a session on whatever connection.
func (s *Server) session(id uint64) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// forget takes a session out of the table of all sessions.
func (s *Server) forget(old *session) {
	s.mu.Lock()
	if s.sessions[old.id] == old {
		delete(s.sessions, old.id)
	}
	s.mu.Unlock()
}

// end takes the session from its connections and closes all that is open. [MS-SMB2] 3.3.5.6.
func (s *session) end(ctx context.Context) {
	s.mu.Lock()
	again := s.ended
	s.ended = true
	channels := slices.Clone(s.channels)
	opens := make([]*open, 0, len(s.opens))
	for _, o := range s.opens {
		opens = append(opens, o)
	}
	clear(s.trees)
	for r := range s.adrift {
		r.stop(context.Canceled)
	}
	s.mu.Unlock()
	for _, h := range channels {
		h.c.drop(h)
	}
	if again {
		return
	}
	s.s.forget(s)
	for _, o := range opens {
		o.part(ctx)
	}
	if s.valid.Load() {
		s.s.reports.add(ctx, s, true)
	}
}

func (s *session) flags() (f smb2.SessionFlags) {
	if s.identity.Load().anonymous {
		f |= smb2.SessionFlagIsNull
	}
	if s.encrypt {
		f |= smb2.SessionFlagEncryptData
	}
	return f
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
		o.id = smb2.FileID{Persistent: o.number, Volatile: random()}
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
