package locktest

import (
	"context"
	"fmt"
	"testing"

	"dittofs/gateway/lock"
)

// shareModes: what an SMB open denies is denied to every door, and a local open counts as one.
func shareModes(t *testing.T, new Counter) {
	all, w, rd, del := lock.ShareAll, lock.ShareAll&^lock.ShareWrite, lock.ShareAll&^lock.ShareRead, lock.ShareAll&^lock.ShareDelete
	for _, c := range []struct {
		deny  string
		share lock.Share
		op    string
		want  lock.Outcome
	}{
		{"nothing", all, "nfs read", lock.Granted}, {"nothing", all, "nfs write", lock.Granted}, {"nothing", all, "nfs remove", lock.Granted}, {"nothing", all, "local open write", lock.Granted},
		{"reading", rd, "nfs read", lock.SharingDenied}, {"reading", rd, "nfs write", lock.Granted}, {"reading", rd, "local open read", lock.SharingDenied}, {"reading", rd, "nlm lock", lock.Granted},
		{"writing", w, "nfs read", lock.Granted}, {"writing", w, "nfs write", lock.SharingDenied}, {"writing", w, "nfs setsize", lock.SharingDenied}, {"writing", w, "nfs setattr", lock.Granted},
		{"writing", w, "local open read", lock.Granted}, {"writing", w, "local open write", lock.SharingDenied}, {"writing", w, "local truncate", lock.SharingDenied},
		{"writing", w, "smb overwrite", lock.SharingDenied}, {"writing", w, "smb open read", lock.Granted}, {"writing", w, "smb open attributes", lock.Granted},
		{"deleting", del, "nfs remove", lock.SharingDenied}, {"deleting", del, "nfs rename", lock.SharingDenied}, {"deleting", del, "local remove", lock.SharingDenied}, {"deleting", del, "nfs write", lock.Granted},
	} {
		t.Run(fmt.Sprintf("%s denied, %s", c.deny, c.op), func(t *testing.T) {
			h := enter(t, new, Settings{})
			o := h.smb.open(1, rdwr, share(c.share))
			out, _ := h.operation(c.op)
			h.want("outcome", out, c.want)
			o.close()
			if c.want == lock.SharingDenied {
				out, _ = h.operation(c.op)
				h.want("after the close", out, lock.Granted)
			}
		})
	}
	t.Run("unlink_open = unix", func(t *testing.T) {
		h := enter(t, new, Settings{UnlinkOpen: "unix"})
		h.smb.open(1, rdwr, share(del))
		out, _ := h.operation("nfs remove")
		h.want("remove", out, lock.Granted)
		out, _ = h.operation("local remove")
		h.want("remove", out, lock.Granted)
	})
	t.Run("SMB denies what a local program has open", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.local.open(1, rdwr)
		for _, c := range []struct {
			share lock.Share
			want  lock.Outcome
		}{{0, lock.SharingDenied}, {w, lock.SharingDenied}, {rd, lock.SharingDenied}, {del, lock.Granted}, {all, lock.Granted}} {
			h.want(fmt.Sprint("share ", c.share), h.smb.open(1, lock.Read, share(c.share)).Outcome, c.want)
		}
		o.close()
		h.want("after the close", h.smb.open(2, lock.Read, share(w)).Outcome, lock.Granted)
	})
	t.Run("a program that runs cannot be written over SMB", func(t *testing.T) {
		h := enter(t, new, Settings{})
		h.local.open(1, lock.Read|lock.Execute)
		h.want("write", h.smb.open(1, lock.Write).Outcome, lock.SharingDenied)
		h.want("read", h.smb.open(1, lock.Read).Outcome, lock.Granted)
	})
	t.Run("a cached handle is called back before a violation counts", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, lock.Read, lease(rh), share(w))
		out, _ := h.operation("nfs write")
		h.want("outcome", out, lock.Blocked)
		h.want("break", h.smb.next(), "RH>R!")
		o.close()
		h.want("answer", h.nfs.next(), "granted")
		o = h.smb.open(1, lock.Read, share(w))
		h.want("no handle to call back", o.Outcome, lock.Blocked) // the write is under way
	})
	t.Run("a deny mode waits for a write under way", func(t *testing.T) {
		h := enter(t, new, Settings{})
		_, id := h.nfs.access(lock.OpWrite, nil)
		h.want("outcome", h.smb.open(1, lock.Read, share(w)).Outcome, lock.Blocked)
		h.nfs.done(id)
		h.want("answer", h.smb.next(), "granted")
	})
	t.Run("NLM SHARE is a share mode", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.nlm.open(1, lock.Read, share(lock.ShareRead|lock.ShareDelete))
		h.want("granted", o.Outcome, lock.Granted)
		h.want("SMB", h.smb.open(1, lock.Write).Outcome, lock.SharingDenied)
		out, _ := h.operation("nfs write")
		h.want("NFS", out, lock.SharingDenied)
		o.close()
		h.want("SMB after it", h.smb.open(1, lock.Write).Outcome, lock.Granted)
	})
	t.Run("an open stream holds its file", func(t *testing.T) {
		h := enter(t, new, Settings{})
		o := h.smb.open(1, lock.Read, lease(rwh), share(0))
		h.want("beside an open that shares nothing", h.smb.open(2, lock.Stream, share(all)).Outcome, lock.Granted)
		h.want("break", h.smb.told(), "")
		o.close()
		s := h.smb.open(2, lock.Stream, share(del))
		o = h.smb.open(1, rdwr, share(0), lease(rwh))
		h.want("data", o.Rights, rwh)
		o.close()
		h.want("open for deletion", h.smb.open(1, lock.Delete).Outcome, lock.SharingDenied)
		out, _ := h.operation("nfs remove")
		h.want("remove", out, lock.SharingDenied)
		s.close()
		h.want("open for deletion", h.smb.open(3, lock.Delete).Outcome, lock.Granted)
	})
	t.Run("the file of an open stream keeps its name, and goes after it", func(t *testing.T) {
		h := enter(t, new, Settings{})
		s := h.smb.open(1, lock.Stream, share(all))
		o := h.smb.open(2, lock.Delete)
		out, _ := h.smb.access(lock.OpRename, o)
		h.want("rename", out, lock.SharingDenied)
		out, err := h.smb.Disposition(context.Background(), o.n, true)
		h.must(err)
		h.want("delete pending", out, lock.Granted)
		h.want("the file's close", o.close().Delete, false)
		h.want("another stream", h.smb.open(2, lock.Stream, share(all)).Outcome, lock.DeletePending)
		h.want("the stream's close", s.close().Delete, true)
	})
}

// locker asks for ranges through one door.
type locker struct {
	name string
	d    *door
	req  func(offset, length uint64, exclusive bool) lock.LockRequest
}

func (h *house) lockers() []locker {
	one, two := h.smb.open(1, rdwr), h.smb.open(2, rdwr)
	l := func(name string, d *door, who int) locker {
		return locker{name, d, func(o, n uint64, ex bool) lock.LockRequest { return d.ranged(who, o, n, ex) }}
	}
	return []locker{l("nlm 1", h.nlm, 1), l("nlm 2", h.nlm, 2), {"smb 1", h.smb, one.ranged}, {"smb 2", h.smb, two.ranged}, l("local 1", h.local, 1), l("local 2", h.local, 2)}
}

// deletes: delete pending, and who removes the name.
func deletes(t *testing.T, new Counter) {
	t.Run("the last network close removes the name", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a, b, l := h.smb.open(1, rdwr|lock.Delete), h.smb.open(2, rdwr), h.local.open(1, lock.Read)
		out, err := h.smb.Disposition(context.Background(), a.n, true)
		h.must(err)
		h.want("disposition", out, lock.Granted)
		h.want("a new open", h.smb.open(3, lock.Read).Outcome, lock.DeletePending)
		h.want("a local open", h.local.open(1, lock.Read).Outcome, lock.DeletePending)
		for _, c := range []struct {
			op   string
			want lock.Outcome
		}{{"nfs read", lock.Granted}, {"nfs rename", lock.DeletePending}, {"nfs link", lock.DeletePending}, {"nlm lock", lock.Stale}} {
			out, _ := h.operation(c.op)
			h.want(c.op, out, c.want)
		}
		h.want("a closes", a.close(), lock.CloseResult{Outcome: lock.Granted})
		h.want("b closes", b.close(), lock.CloseResult{Outcome: lock.Granted, Delete: true})
		h.want("the local program keeps the inode", l.close(), lock.CloseResult{Outcome: lock.Granted})
	})
	t.Run("whoever wants to delete waits for handles that are kept", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a, b := h.smb.open(1, lock.Delete), h.smb.open(2, lock.Read, lease(rh))
		out, _ := h.smb.access(lock.OpDelete, nil)
		h.want("without an open", out, lock.Invalid)
		out, _ = h.smb.access(lock.OpDelete, a)
		h.want("asks", out, lock.Blocked)
		h.want("the holder is told", h.smb.next(), "RH>R!")
		h.want("not yet", h.smb.open(3, lock.Read).Outcome, lock.Granted)
		b.ack(r)
		h.want("it may", h.smb.next(), "granted")
		h.want("a new open", h.smb.open(3, lock.Read).Outcome, lock.DeletePending)
	})
	t.Run("taken back", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a := h.smb.open(1, rdwr|lock.Delete)
		h.smb.Disposition(context.Background(), a.n, true)
		h.smb.Disposition(context.Background(), a.n, false)
		h.want("a new open", h.smb.open(2, lock.Read).Outcome, lock.Granted)
	})
	t.Run("delete on close", func(t *testing.T) {
		h := enter(t, new, Settings{})
		a := h.smb.open(1, rdwr|lock.Delete, func(r *lock.OpenRequest) { r.DeleteOnClose = true })
		b := h.smb.open(2, rdwr)
		h.want("a closes", a.close().Delete, false)
		h.want("a new open", h.smb.open(3, lock.Read).Outcome, lock.DeletePending)
		h.want("b closes", b.close().Delete, true)
		h.want("it is gone", h.smb.open(3, lock.Read).Outcome, lock.Granted)
	})
}
