package server

import (
	"testing"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// The window of message ids moves on with the lowest one that has come. [MS-SMB2] 3.3.5.2.3.
func TestCredits(t *testing.T) {
	c := newCredits()
	if !c.take(0, 1) || c.take(0, 1) || c.take(1, 1) {
		t.Error("the first id is good once, and the only one")
	}
	if c.take(^uint64(0), 2) {
		t.Error("a charge that wraps")
	}
	if got := c.grant(65535); got != maxCredits {
		t.Errorf("granted %d of a whole window", got)
	}
	if c.grant(1) != 0 {
		t.Error("granted more than a window")
	}
	for id := uint64(2); id <= maxCredits; id++ { // 1 is left out
		if !c.take(id, 1) {
			t.Fatalf("id %d", id)
		}
	}
	if c.grant(1) != 0 || c.take(maxCredits+1, 1) {
		t.Error("the window moved over an id that has not come")
	}
	if !c.take(1, 1) || c.grant(65535) != maxCredits {
		t.Error("the window does not move on")
	}
	if !c.take(maxCredits+1, 128) || c.take(maxCredits+128, 1) || !c.take(maxCredits+129, 1) {
		t.Error("a charge of 128 takes that many ids")
	}
}

// A connection has so much in flight and no more; what waits for others makes room, within bounds.
func TestFlight(t *testing.T) {
	f := newFlight()
	big := load{credits: 128, bytes: 8 << 20}
	if !f.enter(load{credits: 1, bytes: maxBytesInFlight + 1}) {
		t.Error("a frame by itself has room")
	}
	f.leave(load{credits: 1, bytes: maxBytesInFlight + 1}, false)
	f.enter(big)
	f.enter(big)
	entered := make(chan bool, 1)
	go func() { entered <- f.enter(big) }()
	if !f.pend(big) || !<-entered {
		t.Error("a pending frame makes room for the next")
	}
	if want := (load{credits: 256, bytes: 16 << 20}); f.now != want || f.pending != (load{credits: 1, bytes: 8 << 20}) {
		t.Errorf("in flight %v, pending %v", f.now, f.pending)
	}
	f.leave(big, true)
	for n := 0; f.pend(load{}); n++ {
		if n == maxPending {
			t.Fatal("any number may wait")
		}
	}
	go func() { entered <- f.enter(big) }()
	f.end()
	if <-entered {
		t.Error("entered after the end")
	}
}

// A client that lets more requests wait than it may is told so, and goes on.
func TestTooManyPending(t *testing.T) {
	s := serve(t, nil)
	p := s.dial(t, smb2.Dialect311).logon()
	var a smb2.CreateResponse
	q := opening("", smb2.FileOpen)
	q.CreateOptions, q.DesiredAccess = smb2.FileDirectoryFile, smb2.FileListDirectory
	p.do(smb2.Create, q, &a)
	watch := &smb2.ChangeNotifyRequest{OutputBufferLength: 100, FileID: a.FileID, CompletionFilter: smb2.NotifyChangeFileName}
	for range maxPending {
		if h, _ := p.ask(smb2.ChangeNotify, watch); h.Status != ntstatus.Pending {
			t.Fatalf("not pending: %v", &h)
		}
	}
	p.fails(ntstatus.InsufficientResources, smb2.ChangeNotify, watch)
	p.do(smb2.Echo, &smb2.EchoRequest{}, &smb2.EchoResponse{})
}
