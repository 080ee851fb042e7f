package lockmgr_test

import (
	"context"
	"testing"
	"time"

	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/lock"
)

// NLM's shares outlive lockd: they hold off others until their owner says otherwise or its client is forgotten, and keep the client on record.
func TestSharesOutliveLockd(t *testing.T) {
	d := newDisk(t)
	a := d.boot(t, lockmgr.Config{Resolve: resolveFile})
	defer a.shutdown()
	smb := a.seat(lock.SMB, "smbd")
	n := uint64(100)
	writes := func() lock.Outcome {
		n++
		res, err := smb.Open(ctx, lock.OpenRequest{Open: n, Key: file, Owner: lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1}}, Handle: n}, Access: lock.Write, Share: lock.ShareAll})
		if err != nil {
			t.Fatal(err)
		}
		if res.Outcome == lock.Granted {
			smb.Close(ctx, lock.CloseRequest{Open: n})
		}
		return res.Outcome
	}
	share := func(s *door, open uint64, host string, access lock.Access, sh lock.Share) lock.Outcome {
		res, err := s.Open(ctx, lock.OpenRequest{Open: open, FH: []byte("fh"), By: &lock.Caller{Address: "192.0.2.1:700"}, Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: host}, OH: "x"},
			Access: access, Share: sh})
		if err != nil {
			t.Fatal(err)
		}
		return res.Outcome
	}
	denyWrite := lock.ShareAll &^ lock.ShareWrite

	first := a.seat(lock.NLM, "lockd")
	a.want("a share", share(first, 1, "ant", lock.Read, denyWrite), lock.Granted)
	a.want("SMB", writes(), lock.SharingDenied)
	first.Detach()
	a.want("SMB, without lockd", writes(), lock.SharingDenied)
	a.want("on record", a.Hosts()[0].Name+a.Hosts()[0].Address, "ant192.0.2.1")

	second := a.seat(lock.NLM, "lockd")
	a.want("another's", share(second, 1, "bee", lock.Write, lock.ShareAll), lock.SharingDenied)
	a.want("the same anew", share(second, 2, "ant", lock.Read, denyWrite), lock.Granted)
	a.want("opens", opens(a), 1)
	second.Close(ctx, lock.CloseRequest{Open: 2})
	a.want("SMB, after the share", writes(), lock.Granted)

	// One that nobody of this lockd knows goes by what takes its place, and with its client.
	a.want("a share", share(second, 3, "ant", lock.Read, denyWrite), lock.Granted)
	second.Detach()
	third := a.seat(lock.NLM, "lockd")
	a.want("nothing in its place", share(third, 1, "ant", 0, lock.ShareAll), lock.Granted)
	third.Close(ctx, lock.CloseRequest{Open: 1})
	a.want("opens", opens(a), 0)
	a.want("a share", share(third, 4, "ant", lock.Read, denyWrite), lock.Granted)
	third.Detach()
	a.want("SMB, without lockd", writes(), lock.SharingDenied)
	a.want("a reboot", a.Notified("ant", "192.0.2.1", 7), true)
	a.want("SMB, after the reboot", writes(), lock.Granted)
	a.want("grace", a.GraceLeft(), time.Duration(0))
}

// resolveFile knows one file.
func resolveFile(context.Context, []byte, *lock.Caller, bool) (lock.Key, string, lock.Outcome) {
	return file, "f", 0
}
