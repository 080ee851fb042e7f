package server

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"dittofs/gateway/config"
	"dittofs/gateway/fuzz"
	"dittofs/gateway/lock"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// Whoever breaks the protocol is cut off, with one log line and nothing else.
func TestBadMessages(t *testing.T) {
	negotiate := func(p *peer) []byte {
		return p.message(smb2.Negotiate, &smb2.NegotiateRequest{Dialects: []smb2.Dialect{smb2.Dialect210}}, 0)
	}
	frame := func(b []byte) []byte { return append(smb2.AppendFrame(nil, len(b)), b...) }
	for name, make := range map[string]func(p *peer) []byte{
		"noise":                 func(*peer) []byte { return random64(200) },
		"framed noise":          func(*peer) []byte { return frame(random64(200)) },
		"nothing framed":        func(*peer) []byte { return frame(nil) },
		"too long":              func(*peer) []byte { return []byte{0, 0xFF, 0xFF, 0xFF} },
		"a session service":     func(*peer) []byte { return append([]byte{0x81, 0, 0, 68}, random64(68)...) },
		"half a header":         func(p *peer) []byte { return frame(negotiate(p)[:40]) },
		"a compound beyond":     func(p *peer) []byte { b := negotiate(p); wire.Put32(b[20:], 1<<20); return frame(b) },
		"a response":            func(p *peer) []byte { b := negotiate(p); b[16] |= 1; return frame(b) },
		"logon first":           func(p *peer) []byte { return frame(p.message(smb2.SessionSetup, &smb2.SessionSetupRequest{}, 0)) },
		"an id beyond":          func(p *peer) []byte { p.id = 7; return frame(negotiate(p)) },
		"encrypted for nobody":  func(*peer) []byte { return frame(append([]byte("\xfdSMB"), random64(100)...)) },
		"a short transform":     func(*peer) []byte { return frame([]byte("\xfdSMB123")) },
		"compressed":            func(*peer) []byte { return frame(append([]byte("\xfcSMB"), random64(100)...)) },
		"SMB1 but no negotiate": func(*peer) []byte { return frame(append([]byte("\xffSMB\x25"), random64(60)...)) },
		"SMB1 only":             func(*peer) []byte { return frame(smb1("NT LM 0.12")) },
		"a second NEGOTIATE":    func(p *peer) []byte { return append(frame(negotiate(p)), frame(negotiate(p))...) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			p := &peer{t: t, nc: nc, s: s}
			nc.Write(make(p))
			p.gone()
			s.quiet(t)
			if n := s.log.count("connection ended: bad message"); n != 1 || s.log.count("\n") != 1 {
				t.Errorf("%d log lines:\n%s", n, s.log.b.String())
			}
		})
	}
}

// A record whose end never comes is a bad message too; a client that goes between two messages is not.
func TestTruncated(t *testing.T) {
	for want, b := range map[int][]byte{0: nil, 1: {0, 0, 1, 0, 1, 2, 3}} {
		s := serve(t, nil)
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.Write(b)
		nc.Close()
		s.quiet(t)
		if n := s.log.count("\n"); n != want {
			t.Errorf("%d log lines after %d bytes, want %d:\n%s", n, len(b), want, s.log.b.String())
		}
	}
}

// quiet waits until the server has closed its one connection.
func (s *served) quiet(t *testing.T) {
	t.Helper()
	for range 2000 {
		if s.closed.Load() == 1 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the connection is left")
}

// smb1 is an SMB_COM_NEGOTIATE, [MS-CIFS] 2.2.4.52.1.
func smb1(dialects ...string) []byte {
	var list []byte
	for _, d := range dialects {
		list = append(append(append(list, 2), d...), 0)
	}
	b := append([]byte("\xffSMB\x72"), make([]byte, 27)...)
	b = append(b, 0)
	return append(wire.Append16(b, uint16(len(list))), list...)
}

// A client that speaks SMB1 and SMB2 is led to SMB2. [MS-SMB2] 3.3.5.3.
func TestMultiProtocolNegotiate(t *testing.T) {
	for _, c := range []struct {
		offer []string
		want  smb2.Dialect
	}{
		{[]string{"NT LM 0.12", "SMB 2.002", "SMB 2.???"}, smb2.DialectWildcard},
		{[]string{"NT LM 0.12", "SMB 2.002"}, smb2.Dialect202},
	} {
		s := serve(t, nil)
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		p := &peer{t: t, nc: nc, s: s, id: 1}
		p.send(smb1(c.offer...))
		h, msg := p.receive()
		var a smb2.NegotiateResponse
		if err := a.Parse(msg); err != nil || h.MessageID != 0 || a.Dialect != c.want || h.Credits != 1 {
			t.Errorf("%q: %v %v, %v", c.offer, &h, a.Dialect, err)
		}
		if c.want == smb2.DialectWildcard {
			p.do(smb2.Negotiate, &smb2.NegotiateRequest{Dialects: []smb2.Dialect{smb2.Dialect210, smb2.Dialect202}}, &a)
			if a.Dialect != smb2.Dialect210 {
				t.Errorf("then %v", a.Dialect)
			}
		}
		nc.Close()
	}
}

func TestNegotiateRefuses(t *testing.T) {
	preauth := &smb2.PreauthIntegrityCapabilities{HashAlgorithms: []smb2.HashAlgorithm{7}}
	for _, c := range []struct {
		q    smb2.NegotiateRequest
		want ntstatus.Status
	}{
		{smb2.NegotiateRequest{}, ntstatus.InvalidParameter},
		{smb2.NegotiateRequest{Dialects: []smb2.Dialect{0x300 + 9}}, ntstatus.NotSupported},
		{smb2.NegotiateRequest{Dialects: []smb2.Dialect{smb2.Dialect202}}, ntstatus.NotSupported},
		{smb2.NegotiateRequest{Dialects: []smb2.Dialect{smb2.Dialect311}}, ntstatus.InvalidParameter},
		{smb2.NegotiateRequest{Dialects: []smb2.Dialect{smb2.Dialect311}, Contexts: smb2.NegotiateContexts{Preauth: preauth}}, ntstatus.SMBNoPreauthIntegrityHashOverlap},
	} {
		s := serve(t, func(c *config.Config) { c.SMB.MinDialect = "2.1" })
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		p := &peer{t: t, nc: nc, s: s}
		p.fails(c.want, smb2.Negotiate, &c.q)
		nc.Close()
	}
}

// Before a session stands, nothing but the logon is answered.
func TestWithoutSession(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311)
	var e smb2.EchoResponse
	p.do(smb2.Echo, &smb2.EchoRequest{}, &e)
	p.fails(ntstatus.UserSessionDeleted, smb2.TreeConnect, &smb2.TreeConnectRequest{Path: `\\g\share`})
	p.h.SessionID = 4711
	p.fails(ntstatus.UserSessionDeleted, smb2.SessionSetup, &smb2.SessionSetupRequest{})
	p.h.SessionID = 0
	p.fails(ntstatus.InvalidParameter, smb2.SessionSetup, &smb2.SessionSetupRequest{Flags: smb2.SessionSetupFlagBinding})
	p.fails(ntstatus.InvalidParameter, smb2.SessionSetup, &smb2.SessionSetupRequest{SecurityBuffer: []byte("noise")})
	p.logon()
	p.h.TreeID++
	p.fails(ntstatus.NetworkNameDeleted, smb2.Create, opening("f", smb2.FileOpenIf))
}

// What cannot be opened, and why.
func TestCreateRefuses(t *testing.T) {
	s := serve(t, nil)
	os.Mkdir(s.dir+"/dir", 0o755)
	os.WriteFile(s.dir+"/file", []byte("text"), 0o644)
	os.WriteFile(s.dir+"/readonly", nil, 0o444)
	p := s.dial(t, smb2.Dialect210).logon()
	with := func(name string, d smb2.CreateDisposition, change func(*smb2.CreateRequest)) *smb2.CreateRequest {
		q := opening(name, d)
		if change != nil {
			change(q)
		}
		return q
	}
	for _, c := range []struct {
		name string
		q    *smb2.CreateRequest
		want ntstatus.Status
	}{
		{"missing", with("no", smb2.FileOpen, nil), ntstatus.ObjectNameNotFound},
		{"missing on the way", with(`no\x`, smb2.FileOpen, nil), ntstatus.ObjectPathNotFound},
		{"a file on the way", with(`file\x`, smb2.FileOpen, nil), ntstatus.ObjectPathNotFound},
		{"there already", with("FILE", smb2.FileCreate, nil), ntstatus.ObjectNameCollision},
		{"up", with(`..\x`, smb2.FileOpen, nil), ntstatus.ObjectPathSyntaxBad},
		{"up in disguise", with("\uf029\uf029\\x", smb2.FileOpen, nil), ntstatus.ObjectNameInvalid},
		{"from the root", with(`\file`, smb2.FileOpen, nil), ntstatus.InvalidParameter},
		{"a pattern", with("f*", smb2.FileOpen, nil), ntstatus.ObjectNameInvalid},
		{"no such stream", with("file:x", smb2.FileOpen, nil), ntstatus.ObjectNameNotFound},
		{"a stream of another type", with("file:x:$FOO", smb2.FileOpen, nil), ntstatus.ObjectNameInvalid},
		{"256 bytes", with(string(bytes.Repeat([]byte("x"), 256)), smb2.FileCreate, nil), ntstatus.ObjectNameInvalid},
		{"a directory as file", with("dir", smb2.FileOpen, func(q *smb2.CreateRequest) { q.CreateOptions = smb2.FileNonDirectoryFile }), ntstatus.FileIsADirectory},
		{"a file as directory", with("file", smb2.FileOpen, func(q *smb2.CreateRequest) { q.CreateOptions = smb2.FileDirectoryFile }), ntstatus.NotADirectory},
		{"both", with("x", smb2.FileOpenIf, func(q *smb2.CreateRequest) { q.CreateOptions = smb2.FileDirectoryFile | smb2.FileNonDirectoryFile }), ntstatus.InvalidParameter},
		{"no access", with("file", smb2.FileOpen, func(q *smb2.CreateRequest) { q.DesiredAccess = 0 }), ntstatus.AccessDenied},
		{"the SACL", with("file", smb2.FileOpen, func(q *smb2.CreateRequest) { q.DesiredAccess = smb2.AccessSystemSecurity }), ntstatus.PrivilegeNotHeld},
		{"a disposition", with("file", 6, nil), ntstatus.InvalidParameter},
		{"an impersonation", with("file", smb2.FileOpen, func(q *smb2.CreateRequest) { q.ImpersonationLevel = 4 }), ntstatus.BadImpersonationLevel},
		{"readonly for writing", with("readonly", smb2.FileOpen, nil), ntstatus.AccessDenied},
		{"deleting readonly", with("readonly", smb2.FileOpen, func(q *smb2.CreateRequest) {
			q.DesiredAccess, q.CreateOptions = smb2.Delete, smb2.FileDeleteOnClose
		}), ntstatus.CannotDelete},
		{"reconnect", with("file", smb2.FileOpen, func(q *smb2.CreateRequest) { q.Contexts.DurableReconnect = &smb2.FileID{} }), ntstatus.ObjectNameNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.t = t
			p.fails(c.want, smb2.Create, c.q)
		})
	}
	if n := s.held(); n != 0 {
		t.Errorf("%d opens are left", n)
	}
}

// The dispositions, on a file that is there and one that isn't. [MS-SMB2] 2.2.13.
func TestDispositions(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect210).logon()
	for _, c := range []struct {
		d     smb2.CreateDisposition
		there bool
		want  smb2.CreateAction
		text  string // what is in the file after it
	}{
		{smb2.FileOpen, true, smb2.FileOpened, "text"},
		{smb2.FileOpenIf, true, smb2.FileOpened, "text"},
		{smb2.FileOpenIf, false, smb2.FileCreated, ""},
		{smb2.FileCreate, false, smb2.FileCreated, ""},
		{smb2.FileOverwrite, true, smb2.FileOverwritten, ""},
		{smb2.FileOverwriteIf, true, smb2.FileOverwritten, ""},
		{smb2.FileOverwriteIf, false, smb2.FileCreated, ""},
		{smb2.FileSupersede, true, smb2.FileSuperseded, ""},
		{smb2.FileSupersede, false, smb2.FileCreated, ""},
	} {
		os.Remove(s.dir + "/file")
		if c.there {
			os.WriteFile(s.dir+"/file", []byte("text"), 0o644)
		}
		var a smb2.CreateResponse
		p.do(smb2.Create, opening("file", c.d), &a)
		p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
		b, err := os.ReadFile(s.dir + "/file")
		if a.CreateAction != c.want || string(b) != c.text || err != nil || a.EndOfFile != uint64(len(c.text)) {
			t.Errorf("%v, there %v: %v, %q, %v", c.d, c.there, a.CreateAction, b, err)
		}
	}
}

// A file that was made for an open that the counter refuses is gone again.
func TestRefusedCreateLeavesNothing(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/there", []byte("text"), 0o644)
	s.onOpen = func(lock.OpenRequest) (lock.OpenResult, bool) {
		return lock.OpenResult{Outcome: lock.SharingDenied}, true
	}
	p := s.dial(t, smb2.Dialect210).logon()
	p.fails(ntstatus.SharingViolation, smb2.Create, opening("new", smb2.FileCreate))
	p.fails(ntstatus.SharingViolation, smb2.Create, opening("there", smb2.FileOverwriteIf))
	if _, err := os.Stat(s.dir + "/new"); err == nil {
		t.Error("the file is there")
	}
	if b, _ := os.ReadFile(s.dir + "/there"); string(b) != "text" {
		t.Errorf("a refused overwrite left %q", b)
	}
}

// CREATE, WRITE, QUERY_INFO and CLOSE in one frame, each about the file of the first. [MS-SMB2] 3.3.5.2.7.2.
func TestCompound(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect210).logon()
	p.do(smb2.Echo, &smb2.EchoRequest{}, &smb2.EchoResponse{}) // for its credits
	compound := func(name string) []ntstatus.Status {
		list := [][]byte{
			p.message(smb2.Create, opening(name, smb2.FileOpenIf), 0),
			p.message(smb2.Write, &smb2.WriteRequest{FileID: smb2.AnyFileID, Data: []byte("12345")}, smb2.FlagRelatedOperations),
			p.message(smb2.QueryInfo, &smb2.QueryInfoRequest{InfoType: smb2.InfoFile, FileInfoClass: uint8(fscc.FileStandard), OutputBufferLength: 100, FileID: smb2.AnyFileID}, smb2.FlagRelatedOperations),
			p.message(smb2.Close, &smb2.CloseRequest{FileID: smb2.AnyFileID}, smb2.FlagRelatedOperations),
		}
		var all []byte
		for i, m := range list {
			if i < len(list)-1 {
				m = wire.Pad(m, 0, 8)
				wire.Put32(m[smb2.OffsetNextCommand:], uint32(len(m)))
			}
			all = append(all, m...)
		}
		p.send(all)
		_, msg := p.receive()
		parts, err := smb2.Split(msg)
		if err != nil {
			t.Fatal(err)
		}
		var got []ntstatus.Status
		for _, m := range parts {
			var h smb2.Header
			h.Parse(m)
			got = append(got, h.Status)
		}
		return got
	}
	if got := compound("file"); len(got) != 4 || got[0] != 0 || got[1] != 0 || got[2] != 0 || got[3] != 0 {
		t.Errorf("got %v", got)
	}
	if b, _ := os.ReadFile(s.dir + "/file"); string(b) != "12345" {
		t.Errorf("file is %q", b)
	}
	// One that fails takes the others along.
	e := ntstatus.ObjectPathNotFound
	if got := compound(`no\file`); len(got) != 4 || got[0] != e || got[1] != e || got[2] != e || got[3] != e {
		t.Errorf("got %v", got)
	}
	// A WRITE that fails does not keep the file open.
	s.onDo = func(r lock.AccessRequest) (lock.Result, bool) {
		return lock.Result{Outcome: lock.Denied}, r.Op == lock.OpWrite
	}
	if got := compound("other"); len(got) != 4 || got[0] != 0 || got[1] != ntstatus.FileLockConflict || got[2] != 0 || got[3] != 0 {
		t.Errorf("got %v", got)
	}
	if n := s.held(); n != 0 {
		t.Errorf("%d opens are left", n)
	}
	// Nothing comes before the first.
	p.send(p.message(smb2.Echo, &smb2.EchoRequest{}, smb2.FlagRelatedOperations))
	if h, _ := p.receive(); h.Status != ntstatus.InvalidParameter {
		t.Errorf("an orphan: %v", h.Status)
	}
}

// A request must pay for its payload. [MS-SMB2] 3.3.5.2.5.
func TestCreditCharge(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/file", random64(1<<20), 0o644)
	p := s.dial(t, smb2.Dialect210).logon()
	var a smb2.CreateResponse
	p.do(smb2.Create, opening("file", smb2.FileOpen), &a)
	p.do(smb2.Read, &smb2.ReadRequest{Length: 65536, FileID: a.FileID}, &smb2.ReadResponse{})
	p.fails(ntstatus.InvalidParameter, smb2.Read, &smb2.ReadRequest{Length: 65537, FileID: a.FileID})
	msg := p.message(smb2.Read, &smb2.ReadRequest{Length: 1 << 20, FileID: a.FileID}, 0)
	wire.Put16(msg[6:], 16) // CreditCharge
	p.id += 15
	p.send(msg)
	h, msg := p.receive()
	var r smb2.ReadResponse
	if err := r.Parse(msg); h.Status != 0 || err != nil || !bytes.Equal(r.Data, random64(1<<20)) {
		t.Errorf("a read of 1 MiB: %v, %d bytes, %v", h.Status, len(r.Data), err)
	}
	p.fails(ntstatus.EndOfFile, smb2.Read, &smb2.ReadRequest{Length: 1, Offset: 1 << 20, FileID: a.FileID})
	p.fails(ntstatus.InvalidParameter, smb2.Read, &smb2.ReadRequest{Length: 1, Offset: 1 << 63, FileID: a.FileID})
	p.fails(ntstatus.FileClosed, smb2.Read, &smb2.ReadRequest{Length: 1, FileID: smb2.FileID{Persistent: 1, Volatile: 2}})
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
}

// A client that keeps exact books may use its last credit, whatever its requests came to, and not one more. [MS-SMB2] 3.3.1.1, 3.3.1.2.
func TestCreditBooks(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/file", make([]byte, 1<<17), 0o644)
	p := s.dial(t, smb2.Dialect210).logon()
	s.onLock = func(lock.LockRequest) (lock.Result, bool) { return lock.Result{Outcome: lock.Blocked}, true }
	var a smb2.CreateResponse
	p.do(smb2.Create, opening("file", smb2.FileOpen), &a)
	read := func(length uint32, charge uint64) {
		msg := p.message(smb2.Read, &smb2.ReadRequest{Length: length, FileID: a.FileID}, 0)
		wire.Put16(msg[6:], uint16(charge)) // CreditCharge
		p.id += charge - 1
		p.send(msg)
	}
	for range 3 {
		read(1<<17, 2)
		p.receive()
		p.fails(ntstatus.InvalidParameter, smb2.Read, &smb2.ReadRequest{Length: 1 << 17, FileID: a.FileID})
		h, _ := p.ask(smb2.Lock, &smb2.LockRequest{FileID: a.FileID, Locks: []smb2.LockElement{{Length: 1, Flags: smb2.LockFlagExclusiveLock}}})
		c := smb2.Header{Command: smb2.Cancel, Flags: smb2.FlagAsyncCommand, AsyncID: h.AsyncID, SessionID: p.h.SessionID, MessageID: h.MessageID}
		p.send((&smb2.CancelRequest{}).Append(c.Append(nil)))
		if h, _ := p.receive(); h.Status != ntstatus.Cancelled || h.Credits != 0 {
			t.Fatalf("the end of a request that was cancelled: %v, %d credits", h.Status, h.Credits)
		}
	}
	read(1, 1+p.got-p.id)
	if h, _ := p.receive(); h.Status != 0 || h.Credits != 64 {
		t.Errorf("a request for all credits: %v, %d more granted", h.Status, h.Credits)
	}
	read(1, 65)
	p.gone()
}

// A lock that waits is answered twice: STATUS_PENDING with an AsyncId, and what came of it. [MS-SMB2] 3.3.4.2, 3.3.5.14, 3.3.5.16.
func TestBlockingLock(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect210).logon()
	tickets := make(chan uint64, 10)
	s.onLock = func(r lock.LockRequest) (lock.Result, bool) {
		if r.Try {
			return lock.Result{Outcome: lock.Denied}, true
		}
		tickets <- r.Ticket
		return lock.Result{Outcome: lock.Blocked}, true
	}
	var a smb2.CreateResponse
	p.do(smb2.Create, opening("file", smb2.FileOpenIf), &a)
	asking := func(f smb2.LockFlags) *smb2.LockRequest {
		return &smb2.LockRequest{FileID: a.FileID, Locks: []smb2.LockElement{{Offset: 1, Length: 2, Flags: smb2.LockFlagExclusiveLock | f}}}
	}
	p.fails(ntstatus.LockNotGranted, smb2.Lock, asking(smb2.LockFlagFailImmediately))
	p.fails(ntstatus.InvalidParameter, smb2.Lock, &smb2.LockRequest{FileID: a.FileID})
	p.fails(ntstatus.InvalidParameter, smb2.Lock, asking(smb2.LockFlagSharedLock))

	pending := func() smb2.Header {
		t.Helper()
		h, _ := p.ask(smb2.Lock, asking(0))
		if h.Status != ntstatus.Pending || h.Flags&smb2.FlagAsyncCommand == 0 || h.AsyncID == 0 || h.Credits == 0 {
			t.Fatalf("not pending: %v, credits %d", &h, h.Credits)
		}
		return h
	}
	ends := func(first smb2.Header, want ntstatus.Status) {
		t.Helper()
		h, _ := p.receive()
		if h.Status != want || h.AsyncID != first.AsyncID || h.MessageID != first.MessageID || h.Credits != 0 {
			t.Errorf("got %v, credits %d, want %v", &h, h.Credits, want)
		}
	}
	h := pending()
	s.locks.Deliver(lock.Answer{Ticket: <-tickets, Outcome: lock.Granted})
	ends(h, ntstatus.Success)

	// Others are answered while it waits, and CANCEL ends it.
	h = pending()
	p.do(smb2.Echo, &smb2.EchoRequest{}, &smb2.EchoResponse{})
	c := smb2.Header{Command: smb2.Cancel, Flags: smb2.FlagAsyncCommand, AsyncID: h.AsyncID, SessionID: p.h.SessionID, MessageID: h.MessageID}
	p.send((&smb2.CancelRequest{}).Append(c.Append(nil)))
	ends(h, ntstatus.Cancelled)

	// CLOSE ends it too, and before it is answered itself.
	h = pending()
	p.send(p.message(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, 0))
	ends(h, ntstatus.RangeNotLocked)
	if h, _ := p.receive(); h.Command != smb2.Close || h.Status != 0 {
		t.Errorf("close: %v", &h)
	}
	s.counter.mu.Lock()
	defer s.counter.mu.Unlock()
	if len(s.cancels) != 2 {
		t.Errorf("the counter heard of %d cancellations, want 2", len(s.cancels))
	}
}

// An open that must wait for somebody's lease is pending, and what it would overwrite stays until then.
func TestBlockingCreate(t *testing.T) {
	s := serve(t, nil)
	os.WriteFile(s.dir+"/file", []byte("text"), 0o644)
	p := s.dial(t, smb2.Dialect210).logon()
	tickets := make(chan uint64, 1)
	s.onOpen = func(r lock.OpenRequest) (lock.OpenResult, bool) {
		s.counter.opens[r.Open] = r
		tickets <- r.Ticket
		return lock.OpenResult{Outcome: lock.Blocked}, true
	}
	h, _ := p.ask(smb2.Create, opening("file", smb2.FileOverwriteIf))
	if h.Status != ntstatus.Pending {
		t.Fatalf("create: %v", &h)
	}
	if b, _ := os.ReadFile(s.dir + "/file"); string(b) != "text" {
		t.Errorf("the file is %q before the counter agreed", b)
	}
	s.locks.Deliver(lock.Answer{Ticket: <-tickets, Outcome: lock.Granted})
	h, msg := p.receive()
	var a smb2.CreateResponse
	if err := a.Parse(msg); h.Status != 0 || err != nil || a.CreateAction != smb2.FileOverwritten {
		t.Errorf("create: %v, %v, %v", &h, a.CreateAction, err)
	}
	if b, _ := os.ReadFile(s.dir + "/file"); len(b) != 0 {
		t.Errorf("the file is %q", b)
	}
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
}

// The lease that was asked for, its break, and the acknowledgement. [MS-SMB2] 3.3.4.7, 3.3.5.9.11, 3.3.5.22.2.
func TestLeaseBreak(t *testing.T) {
	s := serve(t, func(c *config.Config) { c.SMB.Encryption = "off" })
	p := s.dial(t, smb2.Dialect311).logon()
	q := opening("file", smb2.FileOpenIf)
	q.RequestedOplockLevel = smb2.OplockLease
	q.Contexts.Lease = &smb2.Lease{V2: true, Key: smb2.LeaseKey{9}, State: 7, Epoch: 3}
	var a smb2.CreateResponse
	p.do(smb2.Create, q, &a)
	want := smb2.Lease{V2: true, Key: smb2.LeaseKey{9}, State: 7, Epoch: 4}
	if a.OplockLevel != smb2.OplockLease || a.Contexts.Lease == nil || *a.Contexts.Lease != want {
		t.Fatalf("granted %x, %+v, want %+v", a.OplockLevel, a.Contexts.Lease, want)
	}
	client := lock.GUID{1, 2, 3}
	s.Broken(lock.Break{Client: client, LeaseKey: lock.GUID{9}, Kind: lock.LeaseV2, From: lock.R | lock.W | lock.H, To: lock.R | lock.H, Epoch: 5, AckRequired: true}, func() {})
	h, msg := p.receive()
	var b smb2.LeaseBreakNotification
	if err := b.Parse(msg); err != nil || h.MessageID != smb2.BreakMessageID || h.SessionID != 0 || h.TreeID != 0 ||
		b != (smb2.LeaseBreakNotification{NewEpoch: 5, Flags: smb2.NotifyBreakAckRequired, Key: smb2.LeaseKey{9}, CurrentState: 7, NewState: 3}) {
		t.Errorf("break: %v %+v, %v", &h, b, err)
	}
	var r smb2.LeaseBreakResponse
	p.do(smb2.OplockBreak, &smb2.LeaseBreakAcknowledgement{Key: smb2.LeaseKey{9}, State: 3}, &r)
	s.counter.mu.Lock()
	if len(s.acks) != 1 || s.acks[0] != (lock.Ack{Client: client, LeaseKey: lock.GUID{9}, Keep: lock.R | lock.H}) {
		t.Errorf("acks %+v", s.acks)
	}
	s.counter.mu.Unlock()
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
}

// The same for an oplock, which belongs to an open. [MS-SMB2] 3.3.4.6, 3.3.5.22.1.
func TestOplockBreak(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect202).logon()
	q := opening("file", smb2.FileOpenIf)
	q.RequestedOplockLevel = smb2.OplockBatch
	var a smb2.CreateResponse
	p.do(smb2.Create, q, &a)
	if a.OplockLevel != smb2.OplockBatch {
		t.Fatalf("granted %x", a.OplockLevel)
	}
	var number uint64
	s.counter.mu.Lock()
	for number = range s.counter.opens {
	}
	s.counter.mu.Unlock()
	s.Broken(lock.Break{Kind: lock.Oplock, Open: number, From: lock.R | lock.W | lock.H, To: lock.R, AckRequired: true}, func() {})
	_, msg := p.receive()
	var b smb2.OplockBreakNotification
	if err := b.Parse(msg); err != nil || b != (smb2.OplockBreakNotification{OplockLevel: smb2.OplockII, FileID: a.FileID}) {
		t.Errorf("break: %+v, %v", b, err)
	}
	p.do(smb2.OplockBreak, &smb2.OplockBreakAcknowledgement{OplockLevel: smb2.OplockII, FileID: a.FileID}, &smb2.OplockBreakResponse{})
	s.counter.mu.Lock()
	if len(s.acks) != 1 || s.acks[0].Open != number || s.acks[0].Keep != lock.R {
		t.Errorf("acks %+v", s.acks)
	}
	s.counter.mu.Unlock()
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
}

// What the counter refuses on data is STATUS_FILE_LOCK_CONFLICT.
func TestLockedData(t *testing.T) {
	s := serve(t, nil)
	s.onDo = func(r lock.AccessRequest) (lock.Result, bool) {
		return lock.Result{Outcome: lock.Denied}, r.Op == lock.OpWrite && r.Offset == 10 && r.Length == 3
	}
	p := s.dial(t, smb2.Dialect210).logon()
	var a smb2.CreateResponse
	p.do(smb2.Create, opening("file", smb2.FileOpenIf), &a)
	p.fails(ntstatus.FileLockConflict, smb2.Write, &smb2.WriteRequest{FileID: a.FileID, Offset: 10, Data: []byte("abc")})
	p.do(smb2.Write, &smb2.WriteRequest{FileID: a.FileID, Offset: 11, Data: []byte("abc")}, &smb2.WriteResponse{})
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
}

// LOGOFF and the end of a tree close what was opened there.
func TestEndsCloseOpens(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect210).logon()
	var a smb2.CreateResponse
	p.do(smb2.Create, opening("file", smb2.FileOpenIf), &a)
	p.do(smb2.TreeDisconnect, &smb2.TreeDisconnectRequest{}, &smb2.TreeDisconnectResponse{})
	if n := s.held(); n != 0 {
		t.Errorf("%d opens after TREE_DISCONNECT", n)
	}
	var c smb2.TreeConnectResponse
	p.h.TreeID = 0
	p.h.TreeID = p.do(smb2.TreeConnect, &smb2.TreeConnectRequest{Path: `\\g\share`}, &c).TreeID
	p.do(smb2.Create, opening("file", smb2.FileOpenIf), &a)
	p.do(smb2.Logoff, &smb2.LogoffRequest{}, &smb2.LogoffResponse{})
	if n := s.held(); n != 0 {
		t.Errorf("%d opens after LOGOFF", n)
	}
	p.fails(ntstatus.UserSessionDeleted, smb2.Create, opening("file", smb2.FileOpenIf))
}

// While the tree is away, nothing of it is opened.
func TestTreeAway(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect210).logon()
	s.SetTree("share", nil)
	p.fails(ntstatus.FileNotAvailable, smb2.Create, opening("file", smb2.FileOpenIf))
	root, err := os.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.SetTree("SHARE", root)
	var a smb2.CreateResponse
	p.do(smb2.Create, opening("file", smb2.FileOpenIf), &a)
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
}

// The negotiation is proved by FSCTL_VALIDATE_NEGOTIATE_INFO; who saw another one is cut off. [MS-SMB2] 3.3.5.15.12.
func TestValidateNegotiate(t *testing.T) {
	for _, same := range []bool{true, false} {
		s := serve(t, nil)
		p := s.dial(t, smb2.Dialect300).logon()
		v := smb2.ValidateNegotiateInfoRequest{GUID: [16]byte{1, 2, 3}, SecurityMode: smb2.SigningEnabled, Dialects: []smb2.Dialect{smb2.Dialect300}}
		if !same {
			v.Dialects = []smb2.Dialect{smb2.Dialect300, smb2.Dialect311}
		}
		q := &smb2.IOCTLRequest{CtlCode: fscc.FsctlValidateNegotiateInfo, FileID: smb2.AnyFileID, MaxOutputResponse: 24, Flags: smb2.IOCTLFlagIsFSCTL, Input: v.Append(nil)}
		if !same {
			p.send(p.message(smb2.IOCTL, q, 0))
			p.gone()
			continue
		}
		var a smb2.IOCTLResponse
		p.do(smb2.IOCTL, q, &a)
		var r smb2.ValidateNegotiateInfoResponse
		if err := r.Parse(a.Output); err != nil || r.Dialect != smb2.Dialect300 || r.GUID != s.guid {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// Random messages from a client that has logged on are answered or end the connection; the server lives on.
func FuzzRequest(g *testing.F) {
	f := fuzz.On(g)
	f.Costly(50)
	s := serve(f, nil)
	for cmd := smb2.Negotiate; cmd <= smb2.OplockBreak+1; cmd++ {
		f.Add(uint16(cmd), uint32(0), []byte{57, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0})
		f.Add(uint16(cmd), uint32(4), random64(90))
	}
	f.Add(uint16(smb2.Create), uint32(0), opening("f", smb2.FileOpenIf).Append(nil))
	f.Fuzz(func(t *testing.T, cmd uint16, flags uint32, b []byte) {
		p := s.dial(t, smb2.Dialect210).logon()
		defer p.nc.Close()
		h := p.h
		h.Command, h.MessageID, h.Credits, h.CreditCharge, h.Flags = smb2.Command(cmd), p.id, 1, 1, smb2.Flags(flags)&^(smb2.FlagServerToRedir|smb2.FlagSigned)
		if h.Command == smb2.Cancel || h.Command == smb2.ChangeNotify {
			return // not answered, or late
		}
		p.send(append(h.Append(nil), b...))
		p.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := smb2.ReadFrame(p.nc, smb2.MaxFrame, nil); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Error("no answer")
			}
		}
	})
}

// When what the client proved has ended, it may close what it has, and prove it again. [MS-SMB2] 3.3.5.2.9.
func TestExpiredSession(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	var a smb2.CreateResponse
	p.do(smb2.Create, opening("file", smb2.FileOpenIf), &a)
	h, _ := p.conn.channel(p.h.SessionID)
	i := *h.s.identity.Load()
	i.until = time.Now().Add(-time.Second)
	h.s.identity.Store(&i)
	p.fails(ntstatus.NetworkSessionExpired, smb2.Read, &smb2.ReadRequest{FileID: a.FileID, Length: 1})
	p.fails(ntstatus.NetworkSessionExpired, smb2.Create, opening("file", smb2.FileOpen))
	p.do(smb2.Echo, &smb2.EchoRequest{}, &smb2.EchoResponse{})
	p.do(smb2.Close, &smb2.CloseRequest{FileID: a.FileID}, &smb2.CloseResponse{})
	i.until = time.Time{}
	h.s.identity.Store(&i)
	p.do(smb2.Create, opening("file", smb2.FileOpen), &a)
}
