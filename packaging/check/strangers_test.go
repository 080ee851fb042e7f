package check

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Who does not log on is cut off after ten seconds, takes no more than his share of the connections, and guesses passwords slowly.
func TestStrangers(t *testing.T) {
	g := up(t, tree(t))
	s := g.smb(t) // somebody who has logged on
	var idle []net.Conn
	closed := func(c net.Conn, within time.Duration) bool {
		c.SetReadDeadline(time.Now().Add(within))
		_, err := c.Read(make([]byte, 1))
		return err == io.EOF || err != nil && strings.Contains(err.Error(), "reset")
	}
	for range 64 {
		c, err := net.Dial("tcp", g.Ready["smb"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	for range 2 {
		c, err := net.Dial("tcp", g.Ready["smb"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !closed(c, 5*time.Second) {
			t.Error("one address may have any number of connections that nobody has logged on over")
		}
	}
	if n := strings.Count(g.Log(), "connections refused: too many"); n != 1 {
		t.Errorf("%d log lines about it, want 1:\n%s", n, g.Log())
	}
	if a := s.do("open", args{"name": "f", "access": 0x120089, "share": 7, "disposition": 3}); a.Status != statusOK {
		t.Errorf("the one who has logged on: %+v", a)
	}
	for i, c := range idle {
		if !closed(c, 15*time.Second) {
			t.Fatalf("connection %d is still open", i)
		}
	}

	host, port, _ := strings.Cut(g.Ready["smb"], ":")
	for range 7 {
		if out, err := run(t, "smbclient", "//"+host+"/share", "-p", port, "-U", smbUser+"%wrong", "-c", "ls"); err == nil || !strings.Contains(out, "NT_STATUS_LOGON_FAILURE") {
			t.Errorf("wrong password: %v\n%s", err, out)
		}
	}
	for _, delay := range []string{"delay=0s", "delay=4", "delay=9"} { // a little is forgiven meanwhile
		if !strings.Contains(g.Log(), delay) {
			t.Errorf("no failed logon was answered with %s…:\n%s", delay, g.Log())
		}
	}
	if out, err := g.smbclient("ls"); err != nil {
		t.Errorf("the right password: %v\n%s", err, out)
	}
}
