package hatch_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/ipc"
	"dittofs/gateway/ipc/lockpb"
	"dittofs/gateway/lock"
)

// packets is one end of a lane.
func packets(t testing.TB, dir, name string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: ipc.LanePath(filepath.Join(dir, name+".sock")), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

// ask sends one packet and returns the answer; ok is false when the lane has ended instead.
func ask(t testing.TB, c *net.UnixConn, packet []byte) (answer []byte, ok bool) {
	t.Helper()
	if _, err := c.Write(packet); err != nil {
		return nil, false
	}
	b := make([]byte, ipc.LaneMax+1)
	n, err := c.Read(b)
	return b[:n], err == nil
}

// hello takes lockd's seat by ttrpc alone, and returns its token.
func hello(t testing.TB, dir string) (conn net.Conn, token []byte) {
	t.Helper()
	dial(t, dir, "statd", nil) // the house is open
	conn, err := net.Dial("unix", filepath.Join(dir, "lockd.sock"))
	if err != nil {
		t.Fatal(err)
	}
	c := ttrpc.NewClient(conn)
	t.Cleanup(func() { c.Close() })
	r, err := lockpb.NewCounterClient(c).Hello(context.Background(), &lockpb.HelloRequest{Version: ipc.Version, Name: "lockd"})
	if err != nil {
		t.Fatal(err)
	}
	return conn, r.Token
}

func laneRequest(t testing.TB, v ipc.Verb, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{byte(v)}, b...)
}

// A lane asks from the seat whose token it brought, and ends with the seat's connection.
func TestLane(t *testing.T) {
	dir := t.TempDir()
	d := &desk{}
	_, book, _ := house(t, dir, d)
	conn, token := hello(t, dir)
	stranger := packets(t, dir, "lockd")
	if _, ok := ask(t, stranger, make([]byte, len(token))); ok {
		t.Error("a stranger's lane goes on")
	}
	book.until(t, `msg="lane stays closed" hatch=lockd err="its token is nobody's"`)
	if _, ok := ask(t, packets(t, dir, "smbd"), token); ok {
		t.Error("a lane of another hatch goes on")
	}
	lane := packets(t, dir, "lockd")
	if _, err := lane.Write(token); err != nil {
		t.Fatal(err)
	}
	answer, ok := ask(t, lane, laneRequest(t, ipc.VerbDone, &lockpb.DoneRequest{Id: 9, Changed: true}))
	if !ok || !slices.Equal(answer, make([]byte, 9)) {
		t.Errorf("%q %v", answer, ok)
	}
	if got := d.heard(); !slices.Equal(got, []string{"mustered", "done 9 true"}) {
		t.Errorf("%q", got)
	}
	conn.Close()
	book.until(t, `msg="daemon left"`)
	if _, ok = ask(t, lane, laneRequest(t, ipc.VerbDone, &lockpb.DoneRequest{Id: 10})); ok {
		t.Error("the lane outlives its seat")
	}
}

// Wrong bytes in a lane end the seat's connection, as they do there.
func TestWrongBytesInALane(t *testing.T) {
	for _, packet := range [][]byte{{0}, {200, 1}, {byte(ipc.VerbLock), 0xff}, make([]byte, ipc.LaneMax+1)} {
		dir := t.TempDir()
		_, book, _ := house(t, dir, &desk{})
		_, token := hello(t, dir)
		lane := packets(t, dir, "lockd")
		if _, err := lane.Write(token); err != nil {
			t.Fatal(err)
		}
		if answer, ok := ask(t, lane, packet); ok && answer[0] == 0 {
			t.Errorf("%v: answered %v", packet[0], answer)
		}
		book.until(t, `msg="connection ended"`)
	}
}

// The verbs of a client come by lanes: as many as are asked at once, and no more are opened for the next ones.
func TestClientsUseLanes(t *testing.T) {
	dir := t.TempDir()
	h, _, _ := house(t, dir, &desk{epoch: 1})
	c := dial(t, dir, "smbd", nil)
	for i := range uint64(20) {
		if err := c.Done(t.Context(), i, false); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.Lanes("smbd"); n != 1 {
		t.Errorf("%d lanes", n)
	}
	c.Hangup()
	for range 1000 {
		if h.Lanes("smbd") == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the lane outlives its client")
}

// What is longer than a packet goes by ttrpc.
func TestLongRequest(t *testing.T) {
	dir := t.TempDir()
	d := &desk{epoch: 1}
	house(t, dir, d)
	c := dial(t, dir, "lockd", nil)
	r := lock.LockRequest{FH: make([]byte, ipc.LaneMax), Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "host"}}, Length: 5}
	if _, err := c.Manager.Unlock(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := d.heard(); !strings.HasPrefix(got[len(got)-1], "unlock") {
		t.Errorf("%q", got)
	}
}

func FuzzLane(f *testing.F) {
	dir := f.TempDir()
	h, _, _ := house(f, dir, &desk{silent: true})
	dial(f, dir, "smbd", nil)
	for v := range ipc.VerbChanged + 1 {
		f.Add([]byte{byte(v), 8, 1})
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		out, err := h.Answer("smbd", packet)
		if err == nil && len(out) > ipc.LaneMax {
			t.Error(fmt.Sprint(len(out), " bytes"))
		}
	})
}

// A daemon that dies while it waits for itself loses its seat: an open that caches waits for the ease of another open of the same daemon.
func TestSeatEndsWhatWaitsInALane(t *testing.T) {
	dir := t.TempDir()
	_, stop := gatewayAt(t, dir, lockdb.NewMemory(), 0)
	defer stop()
	dial(t, dir, "statd", nil) // the house is open
	conn, err := net.Dial("unix", filepath.Join(dir, "smbd.sock"))
	if err != nil {
		t.Fatal(err)
	}
	main := ttrpc.NewClient(conn)
	t.Cleanup(func() { main.Close() })
	c := lockpb.NewCounterClient(main)
	h, err := c.Hello(t.Context(), &lockpb.HelloRequest{Version: ipc.Version, Name: "smbd", Borrows: true})
	if err != nil {
		t.Fatal(err)
	}
	events, err := c.Events(t.Context(), &lockpb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mustered(t.Context(), &lockpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	r := lock.OpenRequest{Open: 1, Key: lock.Key{FSID: 1, Ino: 7, Gen: 9}, Owner: lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}},
		Access: lock.Read | lock.Write, Share: lock.ShareAll}
	if res, err := c.Open(t.Context(), ipc.OpenRequestPB(r)); err != nil || lock.Ease(res.GetEase()) != lock.EaseRead|lock.EaseWrite {
		t.Fatal(res, err)
	}
	lane := packets(t, dir, "smbd")
	r.Open, r.Owner.Client.GUID, r.Kind, r.Rights = 2, lock.GUID{2}, lock.Oplock, lock.R
	for _, packet := range [][]byte{h.Token, laneRequest(t, ipc.VerbOpen, ipc.OpenRequestPB(r))} {
		if _, err := lane.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	for called := false; !called; { // until the open's ease is called back
		b, err := events.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Events {
			m := e.GetMark()
			called = called || m.GetOpen() == 1 && !m.Lent
		}
	}
	main.Close()
	dial(t, dir, "smbd", nil)
	if n, err := lane.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("the lane was answered with %d bytes", n)
	}
}
