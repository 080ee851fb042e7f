package check

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A mutator stands between clients and smbd. It changes what clients send, each frame's length put right again, and keeps streams as they
// were sent, to send them again. Nothing after the logon is signed, so that what it changes arrives.
type mutator struct {
	l      net.Listener
	to     string
	every  atomic.Int64 // one frame in so many is changed; 0: none
	frames atomic.Int64 // that were changed
	said   atomic.Int64 // answers in adopted sessions

	mu      sync.Mutex // guards the fields below
	rand    *rand.Rand
	streams [][][]byte // what each connection sent, in frames
	adopts  [][][]byte // streams to send in the session of whoever logs on
}

func newMutator(t *testing.T, to string) *mutator {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mutator{l: l, to: to, rand: rand.New(rand.NewPCG(1, 2))}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	return m
}

func (m *mutator) port() string { return strconv.Itoa(m.l.Addr().(*net.TCPAddr).Port) }

func (m *mutator) serve(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", m.to)
	if err != nil {
		return
	}
	defer s.Close()
	m.mu.Lock()
	streams := m.adopts
	m.mu.Unlock()
	if streams != nil {
		m.adopt(c, s, streams)
		return
	}
	go func() { io.Copy(c, s); c.Close() }()
	var sent [][]byte
	for {
		f, err := readFrame(c)
		if err != nil {
			break
		}
		sent = append(sent, f)
		if n := m.every.Load(); n > 0 && m.draw(int(n)) == 0 && !logon(f) {
			f = m.change(f)
		}
		if _, err := s.Write(f); err != nil {
			break
		}
	}
	m.mu.Lock()
	m.streams = append(m.streams, sent)
	m.mu.Unlock()
}

// readFrame reads a message of a client's with the four bytes before it, [MS-SMB2] 2.1.
func readFrame(r io.Reader) ([]byte, error) {
	b := make([]byte, 4)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	b = append(b, make([]byte, binary.BigEndian.Uint32(b)&0xFFFFFF)...)
	_, err := io.ReadFull(r, b[4:])
	return b, err
}

// logon reports whether a frame belongs to NEGOTIATE or SESSION_SETUP, without which nothing follows.
func logon(f []byte) bool {
	return len(f) < 4+64 || f[4] != 0xFE || binary.LittleEndian.Uint16(f[4+12:]) <= 1
}

func (m *mutator) draw(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rand.IntN(n)
}

// change returns a frame with some of its bits, fields or length changed.
func (m *mutator) change(f []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, r := append([]byte(nil), f[4:]...), m.rand
	for range 1 + r.IntN(3) {
		if len(b) < 8 {
			break
		}
		at := r.IntN(len(b) - 3)
		if len(b) > 64 && r.IntN(3) > 0 {
			at = 64 + r.IntN(min(len(b)-64, 64)) // where the command's fields are
			at = min(at, len(b)-4)
		}
		switch r.IntN(6) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b[at] = byte(r.Uint32())
		case 2:
			binary.LittleEndian.PutUint16(b[at:], uint16(1<<r.IntN(17)-r.IntN(2)))
		case 3:
			binary.LittleEndian.PutUint32(b[at:], uint32(1<<r.IntN(33)-r.IntN(2)))
		case 4:
			b = b[:at]
		case 5:
			b = append(b, b[at:]...)
		}
	}
	m.frames.Add(1)
	out := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	return append(out, b...)
}

// replay sends a stream again on a connection of its own, one frame in three changed, and hangs up.
func (m *mutator) replay(stream [][]byte) error {
	c, err := net.Dial("tcp", m.to)
	if err != nil {
		return err
	}
	defer c.Close()
	go io.Copy(io.Discard, c)
	for _, f := range stream {
		if m.draw(3) == 0 && len(f) > 4 {
			f = m.change(f)
		}
		if _, err := c.Write(f); err != nil {
			return nil // it is cut off, as it may be
		}
	}
	return nil
}

// Where requests have their FileId, by command, [MS-SMB2] 2.2.
var fileIDs = map[uint16]int{6: 8, 7: 8, 8: 16, 9: 16, 10: 8, 11: 8, 14: 8, 15: 8, 16: 24, 17: 16, 18: 8}

// adopt lets a client log on and goes on in its place, in its session and tree and with the file opened last: with what others have sent,
// every other body changed.
func (m *mutator) adopt(c, s net.Conn, streams [][][]byte) {
	const logoff, treeConnect, treeDisconnect, create, cancel, signed = 2, 3, 4, 5, 12, 0x8
	var h, file []byte
	for h == nil {
		f, err := readFrame(c)
		if err != nil {
			return
		}
		if !logon(f) && binary.LittleEndian.Uint16(f[4+12:]) > treeConnect {
			h = f[4 : 4+64]
			break
		}
		if _, err := s.Write(f); err != nil {
			return
		}
		if f, err = readFrame(s); err != nil {
			return
		}
		if _, err := c.Write(f); err != nil {
			return
		}
	}
	id := binary.LittleEndian.Uint64(h[24:])
	for _, stream := range streams {
		for _, f := range stream {
			if logon(f) {
				continue
			}
			b := append([]byte(nil), f[4:]...)
			cmd := binary.LittleEndian.Uint16(b[12:])
			if cmd == logoff || cmd == treeConnect || cmd == treeDisconnect || cmd == cancel || binary.LittleEndian.Uint32(b[20:]) != 0 {
				continue // the session stays; compounds have their numbers elsewhere, too
			}
			b[16] &^= signed
			binary.LittleEndian.PutUint64(b[24:], id)
			copy(b[36:48], h[36:48]) // TreeId, SessionId
			id += uint64(max(binary.LittleEndian.Uint16(b[6:]), 1))
			if at, ok := fileIDs[cmd]; ok && len(b) >= 64+at+16 && file != nil {
				copy(b[64+at:], file)
			}
			if m.draw(2) == 0 {
				b = append(b[:64:64], m.change(append(make([]byte, 4), b[64:]...))[4:]...)
			}
			if _, err := s.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
				return
			}
			s.SetReadDeadline(time.Now().Add(5 * time.Second))
			for {
				a, err := readFrame(s)
				if err != nil || len(a) < 4+64 {
					return
				}
				if binary.LittleEndian.Uint64(a[4+24:]) != binary.LittleEndian.Uint64(b[24:]) {
					continue // a break, or a late answer
				}
				if binary.LittleEndian.Uint32(a[4+8:]) == 0 && cmd == create && len(a) >= 4+64+80 {
					file = a[4+64+64 : 4+64+80]
				}
				m.said.Add(1)
				break
			}
		}
	}
}

// goroutines asks a daemon how many it has.
func (g *gateway) goroutines(daemon string) int {
	g.t.Helper()
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(g.State, "run", daemon+".metrics"))
	}}}
	r, err := c.Get("http://d/debug/pprof/goroutine?debug=1")
	if err != nil {
		g.t.Fatal(err)
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	var n int
	if _, err := fmt.Sscanf(string(b), "goroutine profile: total %d", &n); err != nil {
		g.t.Fatal(err, string(b))
	}
	return n
}

// resident is how many KiB of memory a process has.
func resident(pid int) (kib int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	fmt.Sscan(after, &kib)
	return kib
}

// What clients send, changed on its way or sent again changed, neither ends a daemon nor leaves a goroutine or an open behind.
// DITTOFS_MUTATIONS says how many rounds.
func TestMutatedSessions(t *testing.T) {
	rounds := 2
	if s := os.Getenv("DITTOFS_MUTATIONS"); s != "" {
		rounds, _ = strconv.Atoi(s)
	}
	dir := tree(t)
	g := up(t, dir)
	g.configure(func(text string) string {
		return strings.Replace(text, "signing = 'required'", "signing = 'optional'", 1)
	})
	g.kill9(t, "smbd")
	pid, gateway, base := g.pid("smbd"), g.pid("gateway"), g.goroutines("smbd")
	write(t, filepath.Join(dir, "f"), strings.Repeat("0123456789", 1000))
	from := filepath.Join(t.TempDir(), "from")
	write(t, from, strings.Repeat("x", 100000))
	m := newMutator(t, g.Ready["smb"])

	share := "//127.0.0.1/" + filepath.Base(dir)
	session := func(name string, limit time.Duration, arg ...string) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		c := exec.CommandContext(ctx, name, append([]string{share, "-p", m.port(), "-U", smbUser + "%" + smbPassword, "--option=client signing=off", "--option=client min protocol=SMB2_02"}, arg...)...)
		c.WaitDelay = time.Second
		c.Dir = t.TempDir()
		c.Run()
	}
	clients := func() {
		for _, dialect := range []string{"SMB2_02", "SMB2_10", "SMB3_11"} {
			session("smbclient", 5*time.Second, "-m", dialect, "-c",
				`ls; put "`+from+`" a; get a b; rename a c; allinfo c; mkdir d; ls d\*; put "`+from+`" c:stream; del c; rmdir d; get f g; volume; notify d`)
		}
		for _, test := range []string{"smb2.lock.lock", "smb2.oplock.batch1", "smb2.create.gentest", "smb2.compound.related1", "smb2.getinfo.complex", "smb2.lease.request"} {
			session("smbtorture", 5*time.Second, test)
		}
	}
	clients()
	if m.mu.Lock(); len(m.streams) < 9 {
		t.Errorf("only %d streams of nine clients", len(m.streams))
	}
	recorded, said := m.streams[:len(m.streams):len(m.streams)], 0
	for _, s := range recorded {
		said += len(s)
	}
	t.Logf("%d streams of %d frames", len(recorded), said)
	m.mu.Unlock()

	sent, live := 0, int64(0)
	for i := range rounds {
		m.every.Store(int64(5 + i%3*10))
		before := m.frames.Load()
		clients()
		live += m.frames.Load() - before
		m.mu.Lock()
		m.adopts = recorded
		m.mu.Unlock()
		for range 50 {
			session("smbclient", 20*time.Second, "-m", "SMB2_10", "-c", "ls")
		}
		m.mu.Lock()
		m.adopts = nil
		m.mu.Unlock()
		for range 40 {
			for _, s := range recorded {
				if err := m.replay(s); err != nil {
					t.Fatalf("smbd accepts no connection: %v", err)
				}
				sent++
			}
		}
	}
	t.Logf("%d frames changed on their way, %d in sessions adopted and in %d streams sent again; %d answers", live, m.frames.Load()-live, sent, m.said.Load())
	if live < int64(5*rounds) || m.said.Load() < int64(1000*rounds) || m.frames.Load()-live < int64(500*rounds) {
		t.Error("these are too few")
	}

	if g.pid("smbd") != pid || g.pid("gateway") != gateway {
		t.Fatal("a daemon died")
	}
	if strings.Contains(g.Log(), "panicked") {
		t.Error("a handler panicked")
	}
	left := ""
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) { // durable opens and connections that nobody ends go by time
		now := g.goroutines("smbd")
		left = strings.TrimSpace(g.dittofs("lock", "list", "--all", "--json"))
		if now <= base && (left == "[]" || left == "null" || left == "") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines of %d before, and left at the counter: %s", now, base, left)
		}
	}
	if kib := resident(pid); kib > 300<<10 {
		t.Errorf("smbd has %d KiB", kib)
	}
	if out, err := g.smbclient("ls"); err != nil {
		t.Errorf("afterwards: %v\n%s", err, out)
	}
}
