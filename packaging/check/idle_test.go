package check

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/cloudsoda/go-smb2"
)

// A session that does nothing costs no more than 64 KiB. DITTOFS_SESSIONS sets how many are held.
func TestIdleSessions(t *testing.T) {
	n := 1000
	if s := os.Getenv("DITTOFS_SESSIONS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	g := up(t, tree(t))
	g.smb(t)
	before := g.resident(t, "smbd")
	var held sync.WaitGroup
	var conns []net.Conn
	var mu sync.Mutex
	const clients = 10
	for k := range clients {
		held.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+k))}}
			for range n / clients {
				c, err := d.Dial("tcp", g.Ready["smb"])
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
				s := &smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: smbUser, Password: smbPassword}}
				session, err := s.DialConn(t.Context(), c, g.Ready["smb"])
				if err == nil {
					_, err = session.Mount("share")
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	held.Wait()
	each := (g.resident(t, "smbd") - before) / n
	t.Logf("%d sessions, %d KiB each; %d KiB at the start", n, each, before)
	if each > 64 {
		t.Errorf("%d KiB for each of %d sessions", each, n)
	}
	for _, c := range conns {
		c.Close()
	}
}

// resident is how much memory a daemon has, in KiB.
func (g *gateway) resident(t *testing.T, daemon string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.pid(daemon)))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmRSS in %s", b)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}
